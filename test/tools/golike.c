/* SPDX-License-Identifier: MIT */
/* A program with the section by which a Go program is known. */
__attribute__((section(".note.go.buildid"), used)) static const char build_id[] = "none";

int main(void)
{
    return 0;
}

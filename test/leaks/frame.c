/* SPDX-License-Identifier: MIT */
/*
 * call_through(f): calls f in a frame of FRAME_BYTES. Written out, so that libraries built with
 * different FRAME_BYTES differ in that number alone and return to the same address.
 */
#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

__asm__(".text\n"
        ".globl call_through\n"
        ".type call_through, @function\n"
        "call_through:\n"
        "    .cfi_startproc\n"
        "    sub $" TEXT(
            FRAME_BYTES) ", %rsp\n"
                         "    .cfi_adjust_cfa_offset " TEXT(
                             FRAME_BYTES) "\n"
                                          "    call *%rdi\n"
                                          "    add $" TEXT(
                                              FRAME_BYTES) ", %rsp\n"
                                                           "    .cfi_adjust_cfa_offset -" TEXT(
                                                               FRAME_BYTES) "\n"
                                                                            "    ret\n"
                                                                            "    .cfi_endproc\n"
                                                                            ".size call_through, . "
                                                                            "- call_through\n");

/* The file must hold a declaration; the library itself needs none. */
extern void call_through(void (*call)(void));

/* SPDX-License-Identifier: MIT */
#include "heap/statsfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/path.h"
#include "base/print.h"
#include "lode/stats.h"

static int write_figure(int fd, const char *name, uint64_t value)
{
    struct lodei_line line = {0};
    lodei_line_str(&line, name);
    lodei_line_str(&line, "=");
    lodei_line_dec(&line, value);
    return lodei_line_write(&line, fd);
}

static void warn_unwritten(const char *path)
{
    struct lodei_line line = {0};
    lodei_line_str(&line, "lode: cannot write stats_file '");
    lodei_line_str(&line, path);
    lodei_line_str(&line, "'");
    lodei_line_write(&line, STDERR_FILENO);
}

void lodei_statsfile_at_exit(void)
{
    if (lodei_conf.stats_file[0] == '\0')
        return;
    struct lode_stats stats = {.size = sizeof(stats)};
    struct rusage usage;
    char path[sizeof(lodei_conf.stats_file) + 32];
    lodei_path_with_pid(path, sizeof(path), lodei_conf.stats_file, getpid());
    int saved = errno, failed = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        failed = 1;
    } else if (lode_stats_get(NULL, &stats) == 0) {
#define WRITE_FIELD(name, help) failed |= write_figure(fd, #name, stats.name);
        LODE_STATS_TABLE(WRITE_FIELD)
#undef WRITE_FIELD
        if (getrusage(RUSAGE_SELF, &usage) == 0)
            failed |= write_figure(fd, "maxrss_kb", (uint64_t)usage.ru_maxrss);
    }
    if (fd >= 0)
        close(fd);
    if (failed)
        warn_unwritten(path);
    errno = saved;
}

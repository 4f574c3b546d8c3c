#define _GNU_SOURCE
#include "process_stats.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

_Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double now_seconds(void) { return (double)now_ns() / 1e9; }

// Reads a whole small file of /proc and ends it with a zero byte.
static void read_proc(int pid, const char *name, char *text, size_t capacity) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    FILE *file = fopen(path, "r");
    if (!file) fail("The server process %d is gone.", pid);
    size_t length = fread(text, 1, capacity - 1, file);
    fclose(file);
    text[length] = 0;
}

double cpu_seconds(int pid) {
    if (pid == 0) return 0;
    char text[2048];
    read_proc(pid, "stat", text, sizeof text);
    // The second field is the program's name in parentheses and may hold spaces: count from its end.
    const char *after_name = strrchr(text, ')');
    unsigned long user, system;
    const char *fields = " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu";
    if (!after_name || sscanf(after_name + 1, fields, &user, &system) != 2)
        fail("/proc/%d/stat cannot be read.", pid);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

double own_cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
    return seconds + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

long anonymous_kib(int pid) {
    char text[8192];
    read_proc(pid, "status", text, sizeof text);
    const char *field = strstr(text, "RssAnon:");
    if (!field) fail("/proc/%d/status has no RssAnon.", pid);
    return strtol(field + strlen("RssAnon:"), NULL, 10);
}

void allow_open_files(unsigned long wanted) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted) return;
    // Beyond the hard limit only a privileged user may go; the call says whether we are one.
    if (limit.rlim_max < wanted) limit.rlim_max = wanted;
    limit.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("%lu open files are needed and the limit is lower: raise it with ulimit -n.", wanted);
}

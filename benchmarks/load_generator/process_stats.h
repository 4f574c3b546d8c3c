// What the kernel says about a process: CPU time and memory. Nothing here knows of sockets.
#ifndef PROCESS_STATS_H
#define PROCESS_STATS_H

#include <stdint.h>

// Prints one sentence to stderr and ends the program with status 1.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Monotonic clock.
uint64_t now_ns(void);
double now_seconds(void);

// User and system CPU of a whole process with its threads, from /proc/<pid>/stat (10 ms steps). 0 for pid 0.
double cpu_seconds(int pid);
double own_cpu_seconds(void);

// Anonymous resident memory (heap and stacks, without the pages of program files), from /proc/<pid>/status.
long anonymous_kib(int pid);

// Raises the limit of open files to `wanted`, or fails with what the machine allows.
void allow_open_files(unsigned long wanted);

#endif

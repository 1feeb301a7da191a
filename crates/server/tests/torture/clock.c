/*
 * Preloaded into the server: its time of day is that of the machine and so many seconds, which the first line of the
 * file that CAIRN_TORTURE_CLOCK names says. They can be changed while it runs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int file = -1;

static void begin(void)
{
	real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	const char *path = getenv("CAIRN_TORTURE_CLOCK");
	if (path != NULL)
		file = open(path, O_RDONLY | O_CLOEXEC);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	pthread_once(&once, begin);
	int answer = real_clock_gettime(clock, now);
	char seconds[32] = "";
	if (answer == 0 && clock == CLOCK_REALTIME && file >= 0 && pread(file, seconds, sizeof seconds - 1, 0) > 0)
		now->tv_sec += strtol(seconds, NULL, 10);
	return answer;
}

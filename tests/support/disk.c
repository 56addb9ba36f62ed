/* Preloaded into a process: while the file $HANG_DISK exists, whatever is to be made durable hangs, as on a sick disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void hang(void) {
  const char *path = getenv("HANG_DISK");
  while (path && access(path, F_OK) == 0)
    usleep(10000);
}

int fsync(int fd) {
  hang();
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
  hang();
  return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

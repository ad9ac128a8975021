/* A disk that hangs: loaded before the program's libraries (LD_PRELOAD), fdatasync does not return while the file that HANG_SYNC
   names is there. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd) {
  const char* const hang = getenv("HANG_SYNC");
  while (hang != NULL && access(hang, F_OK) == 0) pause();
  return (int)syscall(SYS_fdatasync, fd);
}

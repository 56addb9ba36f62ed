/*
 * Processes that do nothing, as many as there are lines on standard input: "UID VARIABLE=VALUE", or "UID -" for one
 * without the variable. Prints their pids, one a line, once all of them run. They end with this program, which ends
 * with its standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* What a process of a user has in its environment, so that reading it costs what it does elsewhere. */
static char *usual[] = {
    "SHELL=/bin/bash", "PWD=/home/somebody/project", "LOGNAME=somebody", "HOME=/home/somebody", "LANG=en_US.UTF-8",
    "XDG_SESSION_TYPE=tty", "XDG_SESSION_CLASS=user", "XDG_RUNTIME_DIR=/run/user/1000", "TERM=xterm-256color",
    "CONDA_EXE=/opt/conda/bin/conda", "CONDA_PREFIX=/opt/conda/envs/training", "CONDA_SHLVL=2",
    "CONDA_PYTHON_EXE=/opt/conda/bin/python", "CONDA_DEFAULT_ENV=training", "CUDA_HOME=/usr/local/cuda",
    "CUDA_DEVICE_ORDER=PCI_BUS_ID", "NCCL_DEBUG=WARN", "OMP_NUM_THREADS=8", "HF_HOME=/data/models",
    "PYTHONUNBUFFERED=1", "LD_LIBRARY_PATH=/usr/local/cuda/lib64:/opt/conda/envs/training/lib",
    "PATH=/opt/conda/envs/training/bin:/opt/conda/condabin:/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin",
    "SSH_CONNECTION=192.0.2.17 51234 192.0.2.2 22", "SSH_CLIENT=192.0.2.17 51234 22", "SSH_TTY=/dev/pts/3",
    "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus", "MAIL=/var/mail/somebody", "EDITOR=vim", "_=/usr/bin/env",
};
#define USUAL (sizeof usual / sizeof *usual)

static void become(int program, uid_t uid, char *variable)
{
    char *arguments[] = {"python3", "train.py", NULL}, *environment[USUAL + 2] = {NULL};

    memcpy(environment, usual, sizeof usual);
    environment[USUAL] = variable;
    if (uid != getuid() && (setgroups(0, NULL) != 0 || setgid(uid) != 0 || setuid(uid) != 0))
        fail("holders: becoming another user");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execveat(program, "", arguments, environment, AT_EMPTY_PATH);
    fail("holders: executing itself");
}

int main(int argc, char **argv)
{
    char line[512], *variable, end;
    int started[2], program;

    if (argc == 2 && strcmp(argv[1], "train.py") == 0)
        for (;;)
            pause();
    program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (program < 0 || pipe2(started, O_CLOEXEC) != 0)
        fail("holders");
    while (fgets(line, sizeof line, stdin) != NULL && line[0] != '\n') {
        uid_t uid = strtoul(line, &variable, 10);
        pid_t pid = fork();
        if (pid < 0)
            fail("holders: fork");
        if (pid == 0) {
            variable[strcspn(variable, "\n")] = '\0';
            become(program, uid, strcmp(variable, " -") == 0 ? NULL : variable + 1);
        }
        printf("%d\n", pid);
    }
    close(started[1]);
    while (read(started[0], &end, 1) < 0 && errno == EINTR)
        ; /* until each of them is another program */
    printf("\n");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}

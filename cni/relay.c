/*
 * weft: what a container runtime executes on the host for every CNI call.
 *
 * It holds no CNI logic. It relays one request to the node agent over a unix socket and prints the
 * answer, so that a host needs no Python and an ADD costs well under a millisecond here. The frame,
 * shared with cni/frame.py (all integers big-endian):
 *
 *   request:  u8 version = 1
 *             u8 number of variables, at most MAX_VARIABLES
 *             per variable: u32 length, then that many bytes "NAME=VALUE" (every CNI_* variable)
 *             u32 length, then that many bytes of stdin
 *   answer:   u8 exit status, then the bytes for stdout until end of file
 *
 * Answered here, without the agent: VERSION, no command at all (about text), and an agent that can
 * not be reached, is silent past the deadline, or sends half an answer: CNI error 11 (STATUS: 50).
 *
 * Memory is static and sized by the limits below; no length is used before it is checked.
 * WEFT_CNI_SOCKET names another socket (several nodes on one host, as in the lab).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_VERSION = 1,
    MAX_VARIABLES = 64,
    MAX_VARIABLE = 64 * 1024,
    MAX_STDIN = 1024 * 1024,
    MAX_STDOUT = 1024 * 1024,
    /* For the whole call: below what runtimes allow (CRI-O a minute for DEL, others more), above the
     * agent's own deadlines, so that the agent's better error normally comes first. */
    DEADLINE_MS = 55 * 1000,
};

enum { ERROR_ENVIRONMENT = 4, ERROR_IO = 5, ERROR_DECODE = 6, ERROR_RETRY = 11, ERROR_UNAVAILABLE = 50 };

#define DEFAULT_SOCKET "/run/weft/cni.sock"
#define SUPPORTED "\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\""

static unsigned char request[2 + MAX_VARIABLES * (4 + MAX_VARIABLE) + 4 + MAX_STDIN + 1];
static size_t request_used;
static unsigned char answer[1 + MAX_STDOUT + 1];
static size_t answer_used;
static bool answer_reset; /* the agent hung up on a request that it had not read to its end */
static const unsigned char *config; /* stdin, inside request; NULL until it is read */
static size_t config_used;
static const char *socket_path = DEFAULT_SOCKET;
static const char *command = "";
static long long deadline;

extern char **environ;

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static long long remaining_ms(void) {
    long long left = deadline - now_ms();
    return left > 0 ? left : 0;
}

/* True when fd is ready (or broken: the read or write then says how); errno = ETIMEDOUT when not. */
static bool wait_for(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int ready = poll(&p, 1, (int)remaining_ms());
        if (ready > 0) return true;
        if (ready == 0) errno = ETIMEDOUT;
        if (ready == 0 || errno != EINTR) return false;
    }
}

static bool write_all(int fd, const void *data, size_t size) {
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static const char *reason(int error) {
    switch (error) {
    case ENOENT: return "no such socket";
    case ECONNREFUSED: return "connection refused";
    case EACCES: case EPERM: return "permission denied";
    case EAGAIN: case EINTR: case ETIMEDOUT: return "timed out"; /* EINTR is tried again until the deadline */
    case ECONNRESET: case EPIPE: return "connection closed";
    case EBADF: return "not open";
    default: return "input/output error";
    }
}

/* Appends text to a JSON string being built: what JSON would have to escape becomes '?'. */
static void add_text(char *out, size_t size, size_t *used, const char *text) {
    for (; *text && *used + 1 < size; text++) {
        bool plain = *text >= ' ' && *text <= '~' && *text != '"' && *text != '\\';
        out[(*used)++] = plain ? *text : '?';
    }
    out[*used] = '\0';
}

/* The value of the first "cniVersion":"digits and dots" in the configuration, else 1.0.0. */
static const char *config_version(char out[16]) {
    static const char key[] = "\"cniVersion\"";
    const unsigned char *at = config ? memmem(config, config_used, key, sizeof key - 1) : NULL;
    size_t n = 0;
    if (!at) return "1.0.0";
    const unsigned char *end = config + config_used;
    at += sizeof key - 1;
    while (at < end && (*at == ' ' || *at == ':')) at++;
    if (at == end || *at++ != '"') return "1.0.0";
    while (at < end && n < 15 && ((*at >= '0' && *at <= '9') || *at == '.')) out[n++] = (char)*at++;
    out[n] = '\0';
    return n > 0 && at < end && *at == '"' ? out : "1.0.0";
}

/* Prints a CNI error (SPEC section 5) on stdout, and returns the exit status. */
static int fail(int code, const char *what, const char *subject, const char *why) {
    char version[16], digits[3] = {(char)('0' + code / 10), (char)('0' + code % 10), '\0'};
    const char *number = code < 10 ? digits + 1 : digits;
    char message[1024];
    size_t used = 0;
    add_text(message, sizeof message, &used, "weft: ");
    add_text(message, sizeof message, &used, what);
    add_text(message, sizeof message, &used, subject);
    add_text(message, sizeof message, &used, why);
    const char *parts[] = {"{\"cniVersion\":\"", config_version(version), "\",\"code\":", number,
                           ",\"msg\":\"", message, "\",\"details\":\"\"}\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!write_all(STDOUT_FILENO, parts[i], strlen(parts[i]))) break;
    return 1;
}

static int fail_agent(const char *what, const char *why) {
    int code = strcmp(command, "STATUS") == 0 ? ERROR_UNAVAILABLE : ERROR_RETRY;
    char rest[160];
    size_t used = 0;
    add_text(rest, sizeof rest, &used, ": ");
    add_text(rest, sizeof rest, &used, why);
    add_text(rest, sizeof rest, &used, "; check that weft-agent runs on this node, and its log");
    return fail(code, what, socket_path, rest);
}

static void put_u32(size_t at, size_t value) {
    for (size_t i = 0; i < 4; i++) request[at + i] = (unsigned char)(value >> (24 - 8 * i) & 0xff);
}

static int put_variables(void) {
    size_t count = 0;
    request[0] = FRAME_VERSION;
    request_used = 2;
    for (char **entry = environ; entry && *entry; entry++) {
        if (strncmp(*entry, "CNI_", 4) != 0 || !strchr(*entry, '=')) continue;
        size_t size = strlen(*entry);
        if (++count > MAX_VARIABLES) return fail(ERROR_ENVIRONMENT, "more than 64 CNI_ variables are set", "", "");
        if (size > MAX_VARIABLE) {
            char name[32] = {0};
            memcpy(name, *entry, sizeof name - 1);
            *strchrnul(name, '=') = '\0';
            return fail(ERROR_ENVIRONMENT, "variable ", name, " is longer than 64 KiB");
        }
        put_u32(request_used, size);
        memcpy(request + request_used + 4, *entry, size);
        request_used += 4 + size;
    }
    request[1] = (unsigned char)count;
    return 0;
}

static int put_stdin(void) {
    size_t start = request_used + 4;
    config = request + start;
    while (config_used <= MAX_STDIN) {
        ssize_t n = -1;
        if (wait_for(STDIN_FILENO, POLLIN))
            n = read(STDIN_FILENO, request + start + config_used, MAX_STDIN + 1 - config_used);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return fail(ERROR_IO, "cannot read the network configuration on stdin: ", reason(errno), "");
        if (n == 0) break;
        config_used += (size_t)n;
    }
    if (config_used > MAX_STDIN)
        return fail(ERROR_DECODE, "network configuration on stdin is larger than 1 MiB", "", "");
    put_u32(request_used, config_used);
    request_used = start + config_used;
    return 0;
}

/* Connected socket, or -1 with errno. A full accept queue waits, until the deadline. */
static int dial(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = remaining_ms() / 1000, .tv_usec = remaining_ms() % 1000 * 1000 + 1};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, socket_path, strlen(socket_path)); /* main() checked that it fits */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0) return -1;
    for (;;) {
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
        if (errno != EINTR || remaining_ms() == 0) return -1;
    }
}

static bool send_request(int fd) {
    for (size_t sent = 0; sent < request_used;) {
        if (!wait_for(fd, POLLOUT)) return false;
        ssize_t n = send(fd, request + sent, request_used - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        /* An agent that refuses a request may answer and close before it has read all of it. */
        if (n < 0) return errno == EPIPE || errno == ECONNRESET;
        sent += (size_t)n;
    }
    return true;
}

static bool receive_answer(int fd) {
    while (answer_used < sizeof answer) {
        if (!wait_for(fd, POLLIN)) return false;
        ssize_t n = recv(fd, answer + answer_used, sizeof answer - answer_used, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0 && errno != ECONNRESET) return false;
        answer_reset = n < 0;
        if (n <= 0) return true;
        answer_used += (size_t)n;
    }
    return true;
}

/* A status byte, then nothing or one JSON object; a result or an error is never nothing. Who has not read all of a
 * request can have refused it, but not have done it. */
static bool answer_whole(void) {
    size_t end = answer_used;
    if (answer_used == 0 || answer_used == sizeof answer || (answer_reset && answer[0] == 0)) return false;
    if (answer_used == 1) return answer[0] == 0 && strcmp(command, "ADD") != 0;
    while (end > 2 && (answer[end - 1] == '\n' || answer[end - 1] == ' ')) end--;
    return answer[1] == '{' && end > 2 && answer[end - 1] == '}';
}

static int relay(void) {
    int fd = dial();
    if (fd < 0) return fail_agent("cannot reach the agent on ", reason(errno));
    if (!send_request(fd)) return fail_agent("cannot send the request to the agent on ", reason(errno));
    if (!receive_answer(fd)) return fail_agent("no whole answer from the agent on ", reason(errno));
    if (!answer_whole()) return fail_agent("truncated or malformed answer from the agent on ", "closed too early");
    return write_all(STDOUT_FILENO, answer + 1, answer_used - 1) ? answer[0] : 1;
}

static long long deadline_ms(void) {
#ifdef WEFT_TEST_BUILD
    const char *text = getenv("WEFT_CNI_DEADLINE_MS");
    if (text) return atoi(text);
#endif
    return DEADLINE_MS;
}

int main(void) {
    static const char about[] = "weft: CNI plugin of the Weft network; run by a container runtime, "
                                "with CNI_COMMAND set (specification 1.1.0)\n";
    static const char versions[] = "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[" SUPPORTED "]}\n";
    const char *value;
    int status;

    signal(SIGPIPE, SIG_IGN);
    /* With stdout closed nobody could read an answer, and the socket would take its number. */
    if (fcntl(STDOUT_FILENO, F_GETFD) < 0) return 1;
    if ((value = getenv("CNI_COMMAND")) != NULL) command = value;
    if ((value = getenv("WEFT_CNI_SOCKET")) != NULL && *value) socket_path = value;
    deadline = now_ms() + deadline_ms();

    if (!*command) return write_all(STDERR_FILENO, about, sizeof about - 1) ? 0 : 1;
    if (strcmp(command, "VERSION") == 0) return write_all(STDOUT_FILENO, versions, sizeof versions - 1) ? 0 : 1;
    if ((status = put_variables()) != 0 || (status = put_stdin()) != 0) return status;
    if (strlen(socket_path) >= sizeof ((struct sockaddr_un *)0)->sun_path)
        return fail(ERROR_ENVIRONMENT, "WEFT_CNI_SOCKET is longer than 107 bytes: ", socket_path, "");
    return relay();
}

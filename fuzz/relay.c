/*
 * The CNI executable under libFuzzer, AddressSanitizer and UBSan: cni/relay.c itself, whose system calls are answered
 * from the input, so that a call costs microseconds, and short reads, signals, errors and the deadline come at any
 * point. (The same source with real descriptors: tests/integration/test_cni_relay_fuzz.py.)
 *
 * An input has up to four parts, with "\n--\n" between them:
 *
 *   environment   NAME=VALUE entries with a NUL between them
 *   stdin         the network configuration
 *   answer        what the agent sends until it closes
 *   kernel        one byte for each system call, see `call()`; when they are used up, every call succeeds
 *
 * In all of it ESC and a byte n repeat the byte before n times; from 0xf0 on, n is one of the counts in `repeats()`, so
 * that short inputs get to the limits.
 *
 * What must hold is in `judge()`: the request is the frame of the environment and stdin, and what is printed is the
 * agent's answer, or a well-formed CNI error of the relay's own. Otherwise: abort().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define main relay_main
#define environ fuzz_environ
#define getenv fuzz_getenv
#define clock_gettime fuzz_clock_gettime
#define fcntl(fd, command) fuzz_fcntl(fd)
#define poll fuzz_poll
#define read fuzz_read
#define write fuzz_write
#define socket(domain, type, protocol) fuzz_socket()
#define setsockopt fuzz_setsockopt
#define connect fuzz_connect
#define send(fd, data, size, flags) fuzz_send(data, size)
#define recv(fd, data, size, flags) fuzz_recv(data, size)

static char *fuzz_getenv(const char *name);
static int fuzz_clock_gettime(clockid_t id, struct timespec *out);
static int fuzz_fcntl(int fd);
static int fuzz_poll(struct pollfd *fds, nfds_t count, int timeout);
static ssize_t fuzz_read(int fd, void *out, size_t size);
static ssize_t fuzz_write(int fd, const void *data, size_t size);
static int fuzz_socket(void);
static int fuzz_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
static int fuzz_connect(int fd, const struct sockaddr *address, socklen_t size);
static ssize_t fuzz_send(const void *data, size_t size);
static ssize_t fuzz_recv(void *out, size_t size);

#include "../cni/relay.c"

#undef main

enum { MOST = 3 * 1024 * 1024, MOST_ENTRIES = 256, SOCKET_FD = 9, CLOCK_STEP_MS = 1, LONG_MS = 60 * 1000 };
enum { SUCCEED = 0, SHORT_BELOW = 0xf0, INTERRUPT = 0xf0, AGAIN, RESET, BROKEN, BAD_FD, IO_ERROR, LATE };

typedef struct { unsigned char *at; size_t size; } Bytes;
typedef struct { unsigned char at[sizeof request + MOST_ENTRIES]; size_t size; } Written;

char **environ; /* that of relay.c: fuzz_environ */
static char *entries[MOST_ENTRIES + 1];
static Bytes input_stdin, input_answer, kernel;
static Written out, err, sent, expected;
static long long clock_ms;
static bool io_error; /* a call failed with EIO */
static bool faulty; /* a call failed for good, so less than everything may have been done */
static const char *input_name = "the input";

static void broken(const char *what) {
    fprintf(stderr, "relay: %s (%s)\n", what, input_name);
    fprintf(stderr, "command %s, request %zu bytes, stdout %zu bytes: %.*s\n", command, sent.size, out.size,
            (int)(out.size < 300 ? out.size : 300), out.at);
    abort();
}

/* How many of `size` bytes the next system call moves; -1 with errno. */
static ssize_t call(size_t size) {
    static const int errors[] = {EINTR, EAGAIN, ECONNRESET, EPIPE, EBADF, EIO};
    unsigned char how = SUCCEED;
    if (clock_ms >= DEADLINE_MS) faulty = true;
    if (kernel.size > 0) how = *kernel.at++, kernel.size--;
    if (how == SUCCEED || how > LATE) return (ssize_t)size;
    if (how < SHORT_BELOW) return (ssize_t)(size < how ? size : how);
    if (how == IO_ERROR) io_error = true;
    if (how == LATE) clock_ms += LONG_MS;
    if (how != INTERRUPT && how != AGAIN) faulty = true;
    errno = how == LATE ? EINTR : errors[how - INTERRUPT];
    return -1;
}

static ssize_t take(Bytes *from, void *to, size_t size) {
    ssize_t n = call(size < from->size ? size : from->size);
    if (n <= 0) return n;
    memcpy(to, from->at, (size_t)n);
    from->at += n, from->size -= (size_t)n;
    return n;
}

/* Marks a failed call that is not waited and tried for again, though others are after EAGAIN. */
static int no_wait(int result) {
    if (result < 0 && errno == EAGAIN) faulty = true;
    return result;
}

static ssize_t put(Written *to, const void *data, size_t size) {
    ssize_t n = call(size);
    if (n <= 0) return n;
    if (to->size + (size_t)n > sizeof to->at) broken("more was written than there is");
    memcpy(to->at + to->size, data, (size_t)n);
    to->size += (size_t)n;
    return n;
}

static char *fuzz_getenv(const char *name) {
    size_t size = strlen(name);
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, name, size) == 0 && (*entry)[size] == '=') return *entry + size + 1;
    return NULL;
}

static int fuzz_clock_gettime(clockid_t id, struct timespec *now) {
    (void)id;
    clock_ms += CLOCK_STEP_MS;
    *now = (struct timespec){.tv_sec = clock_ms / 1000, .tv_nsec = clock_ms % 1000 * 1000000};
    return 0;
}

/* A call that moves nothing, and is not tried again. */
static int once(int result) { return call(0) < 0 ? (faulty = true, -1) : result; }

static int fuzz_fcntl(int fd) {
    if (fd != STDOUT_FILENO) broken("asked for something else than stdout");
    return once(0);
}

static int fuzz_poll(struct pollfd *fds, nfds_t count, int timeout) {
    if (count != 1 || timeout < 0) broken("a wait without an end");
    if (no_wait((int)call(1)) < 0) return -1;
    if (timeout == 0) faulty = true;
    fds->revents = fds->events;
    return timeout > 0;
}

static ssize_t fuzz_read(int fd, void *to, size_t size) {
    if (fd != STDIN_FILENO) broken("read from something else than stdin");
    return take(&input_stdin, to, size);
}

static ssize_t fuzz_write(int fd, const void *data, size_t size) {
    return no_wait((int)put(fd == STDOUT_FILENO ? &out : &err, data, size));
}

static int fuzz_socket(void) { return once(SOCKET_FD); }

static int fuzz_setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    const struct timeval *limit = value;
    if (fd != SOCKET_FD || level != SOL_SOCKET || name != SO_SNDTIMEO || size != sizeof *limit) broken("another option");
    if (limit->tv_sec == 0 && limit->tv_usec == 0) broken("a connect() without an end");
    return once(0);
}

static int fuzz_connect(int fd, const struct sockaddr *address, socklen_t size) {
    const struct sockaddr_un *to = (const struct sockaddr_un *)address;
    if (fd != SOCKET_FD || size != sizeof *to || strcmp(to->sun_path, socket_path) != 0) broken("another address");
    return no_wait((int)call(0));
}

static ssize_t fuzz_send(const void *data, size_t size) { return put(&sent, data, size); }

static ssize_t fuzz_recv(void *to, size_t size) { return take(&input_answer, to, size); }

/* --- the input ------------------------------------------------------------------------------------------------ */

/* How often data[i] asks to repeat the byte before, of which `used` are there; SIZE_MAX when it is a byte as others. */
static size_t repeats(const unsigned char *data, size_t size, size_t i, size_t used) {
    static const size_t many[] = {
        256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536 - 256, 65536 - 16, 65536, 65536 + 256,
        1048576 - 256, 1048576 - 16, 1048576, 1048576 + 256,
    };
    if (data[i] != 0x1b || i + 1 >= size || used == 0) return SIZE_MAX;
    size_t more = data[i + 1] < 0xf0 ? data[i + 1] : many[data[i + 1] - 0xf0];
    return used + more <= MOST ? more : 0;
}

/* Writes the input with its repetitions written out, and returns its size. */
static size_t expand(const unsigned char *data, size_t size, unsigned char *to) {
    size_t used = 0;
    for (size_t i = 0; i < size && used < MOST; i++) {
        size_t more = repeats(data, size, i, used);
        bool plain = more == SIZE_MAX;
        memset(to + used, plain ? data[i] : to[used - 1], plain ? 1 : more);
        used += plain ? 1 : more;
        i += plain ? 0 : 1;
    }
    return used;
}

/* Cuts the first part off, and ends it with a NUL. */
static Bytes part(Bytes *rest) {
    static const char between[] = "\n--\n";
    size_t length = sizeof between - 1;
    unsigned char *end = rest->size ? memmem(rest->at, rest->size, between, length) : NULL;
    Bytes first = {rest->at, end ? (size_t)(end - rest->at) : rest->size};
    size_t gone = end ? first.size + length : first.size;
    rest->at += gone, rest->size -= gone;
    if (end) *end = '\0';
    return first;
}

static void set_environment(Bytes text) {
    size_t count = 0;
    unsigned char *end = text.at + text.size;
    *end = '\0';
    for (unsigned char *at = text.at; at < end && count < MOST_ENTRIES; at += strlen((char *)at) + 1)
        entries[count++] = (char *)at;
    entries[count] = NULL;
    environ = entries;
}

/* --- what must hold ------------------------------------------------------------------------------------------- */

static void expect(const void *data, size_t size) {
    memcpy(expected.at + expected.size, data, size);
    expected.size += size;
}

static void expect_sized(const void *data, size_t size) {
    unsigned char length[4] = {size >> 24 & 0xff, size >> 16 & 0xff, size >> 8 & 0xff, size & 0xff};
    expect(length, sizeof length);
    expect(data, size);
}

/* Writes the frame of environment and stdin to `expected`; false when a limit forbids it. */
static bool expect_frame(Bytes config_bytes) {
    unsigned char head[2] = {1, 0};
    expected.size = 0;
    expect(head, sizeof head);
    for (char **entry = environ; *entry; entry++) {
        if (memcmp(*entry, "CNI_", strnlen(*entry, 4)) != 0 || strlen(*entry) < 4 || !strchr(*entry, '=')) continue;
        if (head[1]++ == 64 || strlen(*entry) > 65536) return false;
        expect_sized(*entry, strlen(*entry));
    }
    if (config_bytes.size > 1048576) return false;
    expect_sized(config_bytes.at, config_bytes.size);
    expected.at[1] = head[1];
    return true;
}

static const char *skip(const char *at, const char *text) {
    return at && strncmp(at, text, strlen(text)) == 0 ? at + strlen(text) : NULL;
}

static const char *skip_some(const char *at, const char *allowed, size_t most) {
    size_t n = at ? strspn(at, allowed) : 0;
    return n > 0 && n <= most ? at + n : NULL;
}

/* Whether stdout holds one CNI error of the relay's own, and nothing else. */
static bool own_error(void) {
    out.at[out.size] = '\0';
    const char *at = skip((const char *)out.at, "{\"cniVersion\":\"");
    at = skip(skip_some(at, "0123456789.", 15), "\",\"code\":");
    at = skip(skip_some(at, "0123456789", 2), ",\"msg\":\"weft: ");
    while (at && *at >= ' ' && *at <= '~' && *at != '"' && *at != '\\') at++;
    at = skip(at, "\",\"details\":\"\"}\n");
    return at == (const char *)out.at + out.size;
}

/* Whether the error is the one for which there is no better word. The socket's name may say the same. */
static bool unexplained(void) {
    static const char end[] = ": input/output error; check that weft-agent runs on this node, and its log\",\"details\":\"\"}\n";
    size_t size = sizeof end - 1;
    return out.size >= size && memcmp(out.at + out.size - size, end, size) == 0;
}

static bool printed(const unsigned char *data, size_t size) {
    return out.size == size && memcmp(out.at, data, size) == 0;
}

/* An answer that the relay has to hand on: a JSON object by its ends, or nothing where nothing is a success. */
static bool presentable(Bytes reply) {
    size_t size = reply.size;
    if (size == 0 || size > 1 + 1048576) return false;
    if (size == 1) return reply.at[0] == 0 && strcmp(command, "ADD") != 0;
    while (size > 1 && (reply.at[size - 1] == ' ' || reply.at[size - 1] == '\n')) size--;
    return size > 2 && reply.at[1] == '{' && reply.at[size - 1] == '}';
}

static void judge_local(int status) {
    bool version = strcmp(command, "VERSION") == 0;
    if (sent.size > 0) broken("the agent was asked for what the relay answers");
    if (faulty) return;
    if (status != 0) broken("a failure where nothing failed");
    if (version != (out.size > 0) || version == (err.size > 0)) broken("VERSION on stdout, the about text on stderr");
    if (version && (out.at[0] != '{' || !memmem(out.at, out.size, "\"supportedVersions\":[", 21)))
        broken("VERSION is no CNI version result");
}

static void judge(int status, Bytes config_bytes, Bytes reply) {
    if (!*command || strcmp(command, "VERSION") == 0) return judge_local(status);
    bool allowed = expect_frame(config_bytes) && strlen(socket_path) < sizeof ((struct sockaddr_un *)0)->sun_path;
    if (err.size > 0) broken("something on stderr");
    if (!allowed && sent.size > 0) broken("a request over the limits was sent");
    if (sent.size > expected.size || memcmp(sent.at, expected.at, sent.size) != 0) broken("the request is another");
    if (!faulty && allowed && sent.size != expected.size) broken("the request is not whole");
    if (own_error()) {
        if (status != 1) broken("an error whose exit status is not 1");
        if (!io_error && unexplained()) broken("another reason than there was");
        if (!faulty && allowed && presentable(reply)) broken("an answer was withheld");
    } else if (!faulty && !(allowed && presentable(reply))) {
        broken("no CNI error where one is due");
    } else if (!faulty && !(printed(reply.at + 1, reply.size - 1) && status == reply.at[0])) {
        broken("neither the agent's answer nor a CNI error");
    } else if (faulty && status == 0 && !printed(reply.at + 1, reply.size ? reply.size - 1 : 0)) {
        broken("a success that is not the agent's");
    }
}

/* The executable starts with everything zero. */
static void reset(void) {
    size_t used = request_used > 0 ? request_used : 2;
    if (config) used = (size_t)(config - request) + config_used;
    memset(request, 0, used < sizeof request ? used : sizeof request);
    memset(answer, 0, answer_used);
    request_used = answer_used = config_used = 0;
    config = NULL, socket_path = DEFAULT_SOCKET, command = "";
    out.size = err.size = sent.size = 0;
    clock_ms = 0, faulty = io_error = answer_reset = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned char whole[MOST + 1];
    Bytes rest = {whole, expand(data, size, whole)};
    Bytes environment = part(&rest), config_bytes = part(&rest), reply = part(&rest);
    input_stdin = config_bytes, input_answer = reply, kernel = rest;
    reset();
    set_environment(environment);
    judge(relay_main(), config_bytes, reply);
    return 0;
}

#ifdef WEFT_REPLAY
/* Without libFuzzer, as for the tests: every file named is one input. */
int main(int count, char **names) {
    for (int i = 1; i < count; i++) {
        static unsigned char data[MOST];
        FILE *file = fopen(input_name = names[i], "rb");
        if (!file) return perror(names[i]), 2;
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%d inputs\n", count - 1);
    return 0;
}
#endif

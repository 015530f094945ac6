#include "sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#endif

_Static_assert(ND_AGAIN == -EAGAIN || EAGAIN != 11, "ND_AGAIN is EAGAIN on Linux");

/* EAGAIN has other numbers elsewhere; the engine knows one. */
static int64_t result(int64_t rc)
{
    if (rc >= 0) {
        return rc;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? ND_AGAIN : -errno;
}

uint64_t nd_sys_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t nd_sys_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void nd_sys_yield(void)
{
    sched_yield();
}

int nd_sys_random(void *to, size_t len)
{
#ifdef __linux__
    return getrandom(to, len, 0) == (ssize_t)len ? 0 : ND_ESYS;
#else
    arc4random_buf(to, len);
    return 0;
#endif
}

int nd_sys_pid(void)
{
    return (int)getpid();
}

/* ---- locks ---- */

int nd_mutex_init(nd_mutex *mutex)
{
    return pthread_mutex_init(mutex, NULL) == 0 ? 0 : ND_ESYS;
}

void nd_mutex_fini(nd_mutex *mutex)
{
    pthread_mutex_destroy(mutex);
}

void nd_mutex_lock(nd_mutex *mutex)
{
    int rc = pthread_mutex_lock(mutex);
    assert(rc == 0);
    (void)rc;
}

void nd_mutex_unlock(nd_mutex *mutex)
{
    pthread_mutex_unlock(mutex);
}

int nd_cond_init(nd_cond *cond)
{
    return pthread_cond_init(cond, NULL) == 0 ? 0 : ND_ESYS;
}

void nd_cond_fini(nd_cond *cond)
{
    pthread_cond_destroy(cond);
}

void nd_cond_wait(nd_cond *cond, nd_mutex *mutex)
{
    pthread_cond_wait(cond, mutex);
}

void nd_cond_signal(nd_cond *cond)
{
    pthread_cond_signal(cond);
}

int nd_rwlock_init(nd_rwlock *lock)
{
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
#ifdef __GLIBC__
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    int rc = pthread_rwlock_init(lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    return rc == 0 ? 0 : ND_ESYS;
}

void nd_rwlock_fini(nd_rwlock *lock)
{
    pthread_rwlock_destroy(lock);
}

void nd_rwlock_read(nd_rwlock *lock)
{
    int rc = pthread_rwlock_rdlock(lock);
    assert(rc == 0);
    (void)rc;
}

void nd_rwlock_write(nd_rwlock *lock)
{
    int rc = pthread_rwlock_wrlock(lock);
    assert(rc == 0);
    (void)rc;
}

void nd_rwlock_unlock(nd_rwlock *lock)
{
    pthread_rwlock_unlock(lock);
}

/* ---- sockets ---- */

int nd_sys_accept(int listener)
{
#ifdef __linux__
    /* That Nagle is off it has from the listener. */
    return (int)result(accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
#else
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        nd_sys_prepare_socket(fd);
    }
    return (int)result(fd);
#endif
}

bool nd_sys_is_shortage(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -ENOMEM;
}

int nd_sys_prepare_socket(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return ND_ESYS;
    }
    int on = 1; /* refused by sockets that are not TCP, which have no Nagle either */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return 0;
}

size_t nd_sys_peer(int fd, char text[ND_ADDRESS_SIZE])
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    char ip[INET6_ADDRSTRLEN] = "";
    unsigned port = 0;

    memset(&address, 0, sizeof(address));
    if (getpeername(fd, (struct sockaddr *)&address, &len) == 0) {
        if (address.ss_family == AF_INET) {
            const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;
            inet_ntop(AF_INET, &in4->sin_addr, ip, sizeof(ip));
            port = ntohs(in4->sin_port);
        } else if (address.ss_family == AF_INET6) {
            const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
            if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
                inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, ip, sizeof(ip));
            } else {
                inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
            }
            port = ntohs(in6->sin6_port);
        }
    }
    size_t ip_len = strlen(ip);
    snprintf(text, ND_ADDRESS_SIZE, "%s:%u", ip, port);
    return ip_len;
}

int64_t nd_sys_read(int fd, void *to, size_t len)
{
    int64_t rc;
    do {
        rc = recv(fd, to, len, 0);
    } while (rc < 0 && errno == EINTR);
    return result(rc);
}

int64_t nd_sys_writev(int fd, const struct iovec *iov, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)count};
    int64_t rc;
    do {
        rc = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (rc < 0 && errno == EINTR);
    return result(rc);
}

int64_t nd_sys_unsent(int fd)
{
    int bytes = 0;
#ifdef SIOCOUTQ
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : -errno;
#elif defined(SO_NWRITE)
    socklen_t len = sizeof(bytes);
    return getsockopt(fd, SOL_SOCKET, SO_NWRITE, &bytes, &len) == 0 ? bytes : -errno;
#else
    return ioctl(fd, TIOCOUTQ, &bytes) == 0 ? bytes : -errno;
#endif
}

void nd_sys_shutdown_write(int fd)
{
    shutdown(fd, SHUT_WR);
}

void nd_sys_close(int fd)
{
    close(fd);
}

/* ---- the bell ---- */

int nd_bell_init(struct nd_bell *bell)
{
#ifdef __linux__
    bell->read_fd = bell->write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return bell->read_fd >= 0 ? 0 : ND_ESYS;
#else
    int fds[2];
    if (pipe(fds) < 0) {
        return ND_ESYS;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    }
    bell->read_fd = fds[0];
    bell->write_fd = fds[1];
    return 0;
#endif
}

void nd_bell_fini(struct nd_bell *bell)
{
    close(bell->read_fd);
    if (bell->write_fd != bell->read_fd) {
        close(bell->write_fd);
    }
}

void nd_bell_ring(const struct nd_bell *bell)
{
    uint64_t one = 1;
    /* A full pipe or counter is as good as a ring: the sleeper wakes either way. */
    ssize_t rc = write(bell->write_fd, &one, sizeof(one));
    (void)rc;
}

void nd_bell_clear(const struct nd_bell *bell)
{
    uint64_t drain[8];
    while (read(bell->read_fd, drain, sizeof(drain)) == (ssize_t)sizeof(drain)) {
    }
}

/* A faulty network between two namespaces, in user space: the same on every kernel, with or without
 * netem, and the same faults for the same seed.
 *
 * Usage: wire SEED THERE_US BACK_US EXTRA_US REORDER LOSE DOUBLE CORRUPT
 *
 * Makes the device "near" here and "far" in a new namespace (/proc/PID/ns/net), prints "ready", and
 * forwards IPv4 packets in both directions until its standard input ends; then it prints counts. A
 * packet takes THERE_US from near to far, and BACK_US from far to near. The last four arguments are
 * numbers of packets in 10,000: delayed by up to EXTRA_US more, dropped, sent twice, changed in one
 * bit. The checksums of TCP and IP always detect a change of one bit. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* The largest number of packets on the way; a full queue drops packets, like a router. */
#define ROOM 8192

struct packet {
    int64_t due;
    uint64_t number;
    int to, corrupt;
    int length;
    unsigned char bytes[2048];
};

static struct packet pool[ROOM];
static struct packet *heap[ROOM]; /* heap[..waiting] is ordered by due, the rest is free */
static int waiting;
static int device[2];
static uint64_t state, number, delivered[2];
static struct { unsigned long long packets, lost, overflow, duplicated, corrupted, reordered; } count;

static uint64_t dice(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1DULL >> 16;
}

static int happens(int in_10000) { return (int)(dice() % 10000) < in_10000; }

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static int before(const struct packet *a, const struct packet *b) {
    return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void swap(int a, int b) {
    struct packet *packet = heap[a];
    heap[a] = heap[b];
    heap[b] = packet;
}

static void push(const struct packet *packet) {
    if (waiting == ROOM) {
        count.overflow++;
        return;
    }
    *heap[waiting] = *packet;
    for (int at = waiting++; at && before(heap[at], heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(at, (at - 1) / 2);
}

static struct packet *pop(void) {
    swap(0, --waiting);
    for (int at = 0;;) {
        int child = 2 * at + 1;
        if (child + 1 < waiting && before(heap[child + 1], heap[child])) child++;
        if (child >= waiting || !before(heap[child], heap[at])) break;
        swap(at, child);
        at = child;
    }
    return heap[waiting];
}

static int open_device(const char *name) {
    struct ifreq request = {.ifr_flags = IFF_TUN};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) err(1, "/dev/net/tun");
    strcpy(request.ifr_name, name);
    if (ioctl(fd, TUNSETIFF, &request)) err(1, "%s", name);
    return fd;
}

static void deliver(struct packet *packet) {
    /* After the header of tun(4). */
    if (packet->corrupt) {
        uint64_t bit = dice() % (8 * (packet->length - sizeof(struct tun_pi)));
        packet->bytes[sizeof(struct tun_pi) + bit / 8] ^= 1 << bit % 8;
    }
    if (write(device[packet->to], packet->bytes, packet->length) < 0) {
        if (errno != EAGAIN && errno != ENOBUFS) err(1, "write");
        count.overflow++;
        return;
    }
    count.corrupted += packet->corrupt;
    if (packet->number < delivered[packet->to])
        count.reordered++;
    else
        delivered[packet->to] = packet->number;
}

int main(int argc, char **argv) {
    if (argc != 9) errx(64, "usage: wire SEED THERE_US BACK_US EXTRA_US REORDER LOSE DOUBLE CORRUPT");
    int v[9];
    for (int i = 2; i < 9; i++) v[i] = atoi(argv[i]);
    int delay[2] = {v[2], v[3]}, extra = v[4], reorder = v[5], lose = v[6], twice = v[7], corrupt = v[8];
    state = strtoull(argv[1], NULL, 10) * 2 + 1;
    for (int i = 0; i < ROOM; i++) heap[i] = &pool[i];
    device[0] = open_device("near");
    if (unshare(CLONE_NEWNET)) err(1, "unshare");
    device[1] = open_device("far");
    puts("ready");
    fflush(stdout);

    for (;;) {
        int64_t wait = waiting ? heap[0]->due - now_us() : 1000000;
        if (wait < 0) wait = 0;
        struct timespec timeout = {wait / 1000000, wait % 1000000 * 1000};
        struct pollfd ready[3] = {
            {.fd = device[0], .events = POLLIN}, {.fd = device[1], .events = POLLIN}, {.events = POLLIN}};
        if (ppoll(ready, 3, &timeout, NULL) < 0) err(1, "poll");
        if (ready[2].revents) break;
        for (int side = 0; side < 2; side++) {
            struct packet packet = {.to = !side};
            while ((packet.length = read(device[side], packet.bytes, sizeof packet.bytes)) > 0) {
                struct tun_pi *header = (struct tun_pi *)packet.bytes;
                if (ntohs(header->proto) != ETH_P_IP) continue;
                count.packets++;
                int copies = 1;
                if (happens(lose)) {
                    count.lost++;
                    copies = 0;
                } else if (happens(twice)) {
                    count.duplicated++;
                    copies = 2;
                }
                while (copies--) {
                    packet.number = ++number;
                    packet.due = now_us() + delay[side] + (happens(reorder) ? (int)(dice() % (extra + 1)) : 0);
                    packet.corrupt = happens(corrupt);
                    push(&packet);
                }
            }
        }
        while (waiting && heap[0]->due <= now_us()) deliver(pop());
    }
    printf("packets=%llu lost=%llu overflow=%llu duplicated=%llu reordered=%llu corrupted=%llu\n",
           count.packets, count.lost, count.overflow, count.duplicated, count.reordered, count.corrupted);
    return 0;
}

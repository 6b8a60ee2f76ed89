/* A faulty network between two namespaces, in user space: the same on every kernel, with or without
 * netem, and the same faults for the same seed.
 *
 * Usage: wire SEED THERE_US BACK_US EXTRA_US REORDER LOSE DOUBLE CORRUPT there|back|both
 *
 * Makes the device "near" here and "far" in a new namespace (/proc/PID/ns/net), prints "ready", and
 * forwards IPv4 packets in both directions until its standard input ends; then it prints counts. A
 * packet takes THERE_US from near to far, and BACK_US from far to near. The next four arguments are
 * numbers of packets in 10,000: delayed by up to EXTRA_US more, dropped, sent twice, changed in one
 * bit. The last one says on which way that happens. The checksums of TCP and IP always detect a change
 * of one bit.
 *
 * A UDP datagram has one fault at most, so that its receiver can count them, and the counts of each way
 * are printed too. A change is in its payload, and takes its checksum away (RFC 768), so that it reaches
 * the receiver. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
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
    int udp; /* the length of the headers of a UDP datagram; 0 for other packets */
    unsigned char bytes[2048];
};

static struct packet pool[ROOM];
static struct packet *heap[ROOM]; /* heap[..waiting] is ordered by due, the rest is free */
static int waiting;
static int device[2];
static uint64_t state, number, delivered[2];
static struct counts { unsigned long long packets, lost, overflow, duplicated, corrupted, reordered; } all, udp[2];

/* Counts what happens to a packet: of all, and of the UDP datagrams on its way. */
#define COUNT(packet, what) (all.what++, (packet)->udp ? udp[!(packet)->to].what++ : 0)

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
        COUNT(packet, overflow);
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

/* The length of the headers of IPv4 and UDP, if the packet is a whole UDP datagram with a payload. */
static int udp_headers(const struct packet *packet) {
    const unsigned char *ip = packet->bytes + sizeof(struct tun_pi);
    int length = packet->length - sizeof(struct tun_pi), header = (ip[0] & 15) * 4;
    int is_fragment = ip[6] & 0x3f || ip[7];
    return ip[9] == IPPROTO_UDP && !is_fragment && length > header + 8 ? header + 8 : 0;
}

static void deliver(struct packet *packet) {
    if (packet->corrupt) {
        /* After the header of tun(4). */
        unsigned char *start = packet->bytes + sizeof(struct tun_pi) + packet->udp;
        uint64_t bit = dice() % (8 * (packet->bytes + packet->length - start));
        start[bit / 8] ^= 1 << bit % 8;
        if (packet->udp) start[-1] = start[-2] = 0;
    }
    if (write(device[packet->to], packet->bytes, packet->length) < 0) {
        if (errno != EAGAIN && errno != ENOBUFS) err(1, "write");
        COUNT(packet, overflow);
        return;
    }
    if (packet->corrupt) COUNT(packet, corrupted);
    if (packet->number < delivered[packet->to])
        COUNT(packet, reordered);
    else
        delivered[packet->to] = packet->number;
}

static void print(const char *way, const struct counts *counts) {
    printf(" %spackets=%llu %slost=%llu %soverflow=%llu %sduplicated=%llu %sreordered=%llu %scorrupted=%llu", way,
           counts->packets, way, counts->lost, way, counts->overflow, way, counts->duplicated, way, counts->reordered,
           way, counts->corrupted);
}

int main(int argc, char **argv) {
    if (argc != 10)
        errx(64, "usage: wire SEED THERE_US BACK_US EXTRA_US REORDER LOSE DOUBLE CORRUPT there|back|both");
    int v[9];
    for (int i = 2; i < 9; i++) v[i] = atoi(argv[i]);
    int delay[2] = {v[2], v[3]}, extra = v[4], reorder = v[5], lose = v[6], twice = v[7], corrupt = v[8];
    int is_faulty[2] = {strcmp(argv[9], "back") != 0, strcmp(argv[9], "there") != 0};
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
                packet.udp = udp_headers(&packet);
                COUNT(&packet, packets);
                int copies = 1;
                if (is_faulty[side] && happens(lose)) {
                    COUNT(&packet, lost);
                    copies = 0;
                } else if (is_faulty[side] && happens(twice)) {
                    COUNT(&packet, duplicated);
                    copies = 2;
                }
                int may_fail = is_faulty[side] && !(packet.udp && copies == 2);
                while (copies--) {
                    int is_late = may_fail && happens(reorder);
                    packet.number = ++number;
                    packet.due = now_us() + delay[side] + (is_late ? (int)(dice() % (extra + 1)) : 0);
                    packet.corrupt = may_fail && !(packet.udp && is_late) && happens(corrupt);
                    push(&packet);
                }
            }
        }
        while (waiting && heap[0]->due <= now_us()) deliver(pop());
    }
    print("", &all);
    print("udp_there_", &udp[0]);
    print("udp_back_", &udp[1]);
    putchar('\n');
    return 0;
}

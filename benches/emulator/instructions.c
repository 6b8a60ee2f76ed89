/*
 * A QEMU plugin that counts the instructions of the emulated program. The counter is in a file that is
 * mapped as shared memory, so that another process can read it at any time.
 *
 * Debian has no header for the interface (version 1, docs/devel/tcg-plugins.rst in QEMU), so the
 * declarations are here.
 */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct qemu_plugin_tb;
typedef uint64_t qemu_plugin_id_t;

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t,
                                                            struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation,
                                              void *counter, uint64_t number);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);

int qemu_plugin_version = 1;
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

static uint64_t *counter;

/* Makes each block of instructions add its length when it is executed. */
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    enum { ADD_U64 = 0 };

    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, counter,
                                             qemu_plugin_tb_n_insns(block));
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    static const char key[] = "count=";
    int fd;

    (void)info;
    if (argc != 1 || strncmp(argv[0], key, sizeof key - 1) != 0)
        return -1;
    if ((fd = open(argv[0] + sizeof key - 1, O_RDWR | O_CREAT, 0600)) < 0 ||
        ftruncate(fd, sizeof *counter) < 0)
        return -1;
    counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counter == MAP_FAILED)
        return -1;
    close(fd);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}

/* Ends an emulated machine that has the device `isa-debug-exit` at port 0xf4; its exit status is twice the argument and one. */
#include <stdlib.h>
#include <sys/io.h>

int main(int count, char **words) {
    if (count != 2 || ioperm(0xf4, 1, 1) != 0) return 1;
    outb(atoi(words[1]), 0xf4);
    return 1;
}

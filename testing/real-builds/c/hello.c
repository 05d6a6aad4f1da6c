#include <stdio.h>
#include "words.h"

int main(int argc, char **argv) {
    printf("%s, %s\n", words(), argc > 1 ? argv[1] : "nothing");
    return 0;
}

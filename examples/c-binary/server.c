/* The smallest web server that is still honest: one thread, one answer, TERM ends it. Build with make, push the result. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void stop(int signal_number) {
    (void)signal_number;
    _exit(0);
}

int main(void) {
    const char *port = getenv("PORT");
    const char *index = getenv("CF_INSTANCE_INDEX");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 8080)};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

    signal(SIGTERM, stop);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
        perror("cannot listen");
        return 1;
    }
    printf("listening on %s\n", port ? port : "8080");
    fflush(stdout);
    for (;;) {
        char request[8192], body[128], head[256];
        int client = accept(listener, NULL, NULL);
        if (client < 0) continue;
        if (read(client, request, sizeof request) > 0) {
            int length = snprintf(body, sizeof body, "Hello from C, instance %s\n", index ? index : "0");
            int size = snprintf(head, sizeof head,
                                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                                "Connection: close\r\n\r\n", length);
            if (write(client, head, size) < 0 || write(client, body, length) < 0) perror("write");
        }
        shutdown(client, SHUT_WR);
        while (read(client, request, sizeof request) > 0) {}
        close(client);
    }
}

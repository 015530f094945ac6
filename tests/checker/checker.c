/* checker -- main: `checker RUN name=value ...`, one JSON line, exit status 0 if clean.
 */
#include "checker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static struct settings settings = {
    .seed = 1,
    .publishers = 8,
    .plain = 8,
    .wildcard = 2,
    .queue = 4,
    .messages = 1000,
    .seconds = 2,
    .rate = 10000,
    .churn = 400,
    .stay = 2,
    .members = 16,
    .clients = 2000,
    .stall_s = 20,
    .fault = "none",
};

static void set(const char *argument)
{
    const struct {
        const char *name;
        uint32_t *number;
    } numbers[] = {
        {"publishers=", &settings.publishers}, {"plain=", &settings.plain},
        {"wildcard=", &settings.wildcard},     {"queue=", &settings.queue},
        {"seconds=", &settings.seconds},       {"rate=", &settings.rate},
        {"churn=", &settings.churn},           {"stay=", &settings.stay},
        {"members=", &settings.members},       {"clients=", &settings.clients},
        {"stall=", &settings.stall_s},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        size_t len = strlen(numbers[i].name);
        if (strncmp(argument, numbers[i].name, len) == 0) {
            *numbers[i].number = (uint32_t)strtoul(argument + len, NULL, 10);
            return;
        }
    }
    if (strncmp(argument, "port=", 5) == 0)
        settings.port = (uint16_t)strtoul(argument + 5, NULL, 10);
    else if (strncmp(argument, "seed=", 5) == 0)
        settings.seed = strtoull(argument + 5, NULL, 10);
    else if (strncmp(argument, "messages=", 9) == 0)
        settings.messages = strtoull(argument + 9, NULL, 10);
    else if (strncmp(argument, "fault=", 6) == 0)
        settings.fault = argument + 6;
    else
        fatal(argument);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    const char *run = argc > 1 ? argv[1] : "";
    for (int i = 2; i < argc; i++)
        set(argv[i]);
    if (settings.publishers < 1 || settings.publishers > PUBLISHERS_MAX)
        fatal("1 to 64 publishers");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    payload_init(settings.seed);
    if (strcmp(run, "flow") == 0)
        return run_flow(&settings);
    if (strcmp(run, "churn") == 0)
        return run_churn(&settings);
    if (strcmp(run, "storm") == 0)
        return run_storm(&settings);
    if (strcmp(run, "judge") == 0)
        return run_judge(&settings);
    fatal("runs: flow, churn, storm, judge");
}

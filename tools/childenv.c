/* SPDX-License-Identifier: MIT */
/* Composing the environment of a command; see childenv.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "childenv.h"
#include "optiontable.h"
#include "xalloc.h"

char *lodei_childenv_options(const char *added)
{
    const char *given = getenv("LODE_OPTIONS");
    char *options = lodei_xstrdup(given != NULL ? given : "");
    char *purge_given = lodei_options_lookup(options, "purge");
    char *purge_added = lodei_options_lookup(added, "purge");

    if (purge_given == NULL && purge_added == NULL)
        options = lodei_options_append(options, "purge", "auto");
    if (added != NULL && added[0] != '\0') {
        char *longer = lodei_xasprintf("%s%s%s", options, options[0] != '\0' ? "," : "", added);

        free(options);
        options = longer;
    }
    free(purge_given);
    free(purge_added);
    return options;
}

static int names_variable(const char *entry, const char *name)
{
    size_t length = strlen(name);

    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

char **lodei_childenv_create(const char *library, const char *options)
{
    const char *preloaded = getenv("LD_PRELOAD");
    size_t count = 0, kept = 0;
    char **env;

    while (environ[count] != NULL)
        count++;
    env = lodei_xcalloc(count + 3, sizeof(*env));
    for (size_t i = 0; i < count; i++) {
        if (library != NULL && names_variable(environ[i], "LD_PRELOAD"))
            continue;
        if (options != NULL && names_variable(environ[i], "LODE_OPTIONS"))
            continue;
        env[kept++] = lodei_xstrdup(environ[i]);
    }
    if (library != NULL && preloaded != NULL && preloaded[0] != '\0')
        env[kept++] = lodei_xasprintf("LD_PRELOAD=%s:%s", library, preloaded);
    else if (library != NULL)
        env[kept++] = lodei_xasprintf("LD_PRELOAD=%s", library);
    if (options != NULL)
        env[kept++] = lodei_xasprintf("LODE_OPTIONS=%s", options);
    return env;
}

void lodei_childenv_destroy(char **env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        free(env[i]);
    free(env);
}

int lodei_childenv_can_preload(const char *path)
{
    return path[strcspn(path, ": \t\n")] == '\0';
}

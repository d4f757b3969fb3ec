/* SPDX-License-Identifier: BSD-2-Clause */
#include "scheme.h"

#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scheme {
    const char *path;
    char *why;
    config_setting_t *function; /* the ffs one */
};

static bool fault(const struct scheme *s, const config_setting_t *at, const char *what,
                  const char *name)
{
    (void)snprintf(s->why, GADGET_WHY_BYTES, "%s:%u: %s%s%s", s->path,
                   at ? (unsigned)config_setting_source_line(at) : 1U, what, name ? " " : "",
                   name ? name : "");
    return false;
}

/* Every member's name is in the list, which a NULL ends. */
static bool check_names(const struct scheme *s, config_setting_t *group, const char *const *names)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        config_setting_t *member = config_setting_get_elem(group, (unsigned)i);
        const char *const *n = names;
        while (*n && strcmp(*n, config_setting_name(member)) != 0)
            n++;
        if (!*n)
            return fault(s, member, "unknown key", config_setting_name(member));
    }
    return true;
}

/* A key and its largest value; a list of them ends with a NULL. */
struct number {
    const char *key;
    int max;
};

/* A group of such numbers. */
static bool check_numbers(const struct scheme *s, config_setting_t *group,
                          const struct number *numbers)
{
    if (!config_setting_is_group(group))
        return fault(s, group, "must be a group { }:", config_setting_name(group));
    for (int i = 0; i < config_setting_length(group); i++) {
        config_setting_t *member = config_setting_get_elem(group, (unsigned)i);
        int value = config_setting_get_int(member);
        const struct number *n = numbers;
        while (n->key && strcmp(n->key, config_setting_name(member)) != 0)
            n++;
        if (!n->key)
            return fault(s, member, "unknown key", config_setting_name(member));
        if (config_setting_type(member) != CONFIG_TYPE_INT || value < 0 || value > n->max)
            return fault(s, member, "not a number, or out of range:", n->key);
    }
    return true;
}

/* A list of groups, with a language number and texts in each. */
static bool check_strings(const struct scheme *s, config_setting_t *list, const char *const *names)
{
    if (!config_setting_is_list(list) || config_setting_length(list) == 0)
        return fault(s, list, "must be a list ( { } ) that is not empty:", "strings");
    for (int i = 0; i < config_setting_length(list); i++) {
        config_setting_t *group = config_setting_get_elem(list, (unsigned)i);
        if (!config_setting_is_group(group))
            return fault(s, list, "must be a list of groups { }:", "strings");
        config_setting_t *lang = config_setting_get_member(group, "lang");
        if (!lang || config_setting_type(lang) != CONFIG_TYPE_INT)
            return fault(s, group, "strings need a language, as in lang = 0x409", NULL);
        if (!check_names(s, group, names))
            return false;
        for (int j = 0; j < config_setting_length(group); j++) {
            config_setting_t *text = config_setting_get_elem(group, (unsigned)j);
            if (text != lang && config_setting_type(text) != CONFIG_TYPE_STRING)
                return fault(s, text, "not a text:", config_setting_name(text));
        }
    }
    return true;
}

static bool check_root(struct scheme *s, config_setting_t *root)
{
    static const char *const names[] = {"attrs",   "strings",  "functions",
                                        "configs", "os_descs", NULL};
    static const struct number attributes[] = {
        {"bcdUSB", 0xffff},        {"bDeviceClass", 0xff},    {"bDeviceSubClass", 0xff},
        {"bDeviceProtocol", 0xff}, {"bMaxPacketSize0", 0xff}, {"idVendor", 0xffff},
        {"idProduct", 0xffff},     {"bcdDevice", 0xffff},     {NULL, 0}};
    static const char *const texts[] = {"lang", "manufacturer", "product", "serialnumber", NULL};

    if (!check_names(s, root, names))
        return false;
    config_setting_t *attrs = config_setting_get_member(root, "attrs");
    if (attrs && !check_numbers(s, attrs, attributes))
        return false;
    config_setting_t *strings = config_setting_get_member(root, "strings");
    if (!strings)
        return fault(s, NULL, "there is no section", "strings");
    return check_strings(s, strings, texts);
}

/* Exactly one function of the type ffs: it is the one that is served. */
static bool find_function(struct scheme *s, config_setting_t *root)
{
    config_setting_t *functions = config_setting_get_member(root, "functions");

    if (!functions || !config_setting_is_group(functions))
        return fault(s, functions, "there is no group", "functions");
    for (int i = 0; i < config_setting_length(functions); i++) {
        config_setting_t *function = config_setting_get_elem(functions, (unsigned)i);
        const char *type = NULL;
        if (!config_setting_is_group(function) ||
            !config_setting_lookup_string(function, "type", &type))
            return fault(s, function, "a function needs a type, as in type = \"ffs\"", NULL);
        if (strcmp(type, "ffs") != 0)
            continue;
        if (s->function)
            return fault(s, function, "there is a second function of the type", "ffs");
        s->function = function;
    }
    return s->function || fault(s, functions, "there is no function of the type", "ffs");
}

static bool check_bindings(const struct scheme *s, config_setting_t *config,
                           config_setting_t *functions, bool *binds)
{
    config_setting_t *list = config_setting_get_member(config, "functions");

    if (!list || !config_setting_is_list(list))
        return fault(s, config, "a configuration needs a list", "functions");
    for (int i = 0; i < config_setting_length(list); i++) {
        config_setting_t *binding = config_setting_get_elem(list, (unsigned)i);
        const char *label = config_setting_type(binding) == CONFIG_TYPE_STRING
                                ? config_setting_get_string(binding)
                                : NULL;
        if (config_setting_is_group(binding))
            (void)config_setting_lookup_string(binding, "function", &label);
        config_setting_t *target = label ? config_setting_get_member(functions, label) : NULL;
        if (!target)
            return fault(s, binding, "functions has no", label ? label : "such function");
        *binds = *binds || target == s->function;
    }
    return true;
}

static bool check_configs(const struct scheme *s, config_setting_t *root)
{
    static const char *const names[] = {"id", "name", "attrs", "strings", "functions", NULL};
    static const struct number attributes[] = {{"bmAttributes", 0xff},
                                               {"bMaxPower", 900}, /* mA, at super speed */
                                               {NULL, 0}};
    static const char *const texts[] = {"lang", "configuration", NULL};
    config_setting_t *functions = config_setting_get_member(root, "functions");
    config_setting_t *configs = config_setting_get_member(root, "configs");
    bool binds = false;

    if (!configs || !config_setting_is_list(configs))
        return fault(s, configs, "there is no list", "configs");
    for (int i = 0; i < config_setting_length(configs); i++) {
        config_setting_t *config = config_setting_get_elem(configs, (unsigned)i);
        if (!config_setting_is_group(config))
            return fault(s, configs, "must be a list of groups { }:", "configs");
        if (!check_names(s, config, names))
            return false;
        int id = 0;
        const char *name = NULL;
        if (!config_setting_lookup_int(config, "id", &id) || id < 1 || id > 255 ||
            !config_setting_lookup_string(config, "name", &name))
            return fault(s, config, "a configuration needs id = 1 (to 255) and a name", NULL);
        config_setting_t *attrs = config_setting_get_member(config, "attrs");
        if (attrs && !check_numbers(s, attrs, attributes))
            return false;
        config_setting_t *strings = config_setting_get_member(config, "strings");
        if (strings && !check_strings(s, strings, texts))
            return false;
        if (!check_bindings(s, config, functions, &binds))
            return false;
    }
    return binds || fault(s, configs, "no configuration has the function of the type", "ffs");
}

/* Sets a text, whether it is there or not. */
static bool set_text(config_setting_t *group, const char *key, const char *text)
{
    config_setting_t *setting = config_setting_get_member(group, key);

    if (!setting)
        setting = config_setting_add(group, key, CONFIG_TYPE_STRING);
    return setting && config_setting_set_string(setting, text) == CONFIG_TRUE;
}

static bool fill_in(const struct scheme *s, config_setting_t *root, const char *name,
                    const char *serial)
{
    config_setting_t *strings = config_setting_get_member(root, "strings");

    if (!set_text(s->function, "instance", name))
        return fault(s, s->function, "not a text:", "instance");
    for (int i = 0; i < config_setting_length(strings); i++) {
        config_setting_t *group = config_setting_get_elem(strings, (unsigned)i);
        const char *text = "";
        (void)config_setting_lookup_string(group, "serialnumber", &text);
        if (text[0] == '\0' && !set_text(group, "serialnumber", serial))
            return fault(s, group, "no memory", NULL);
    }
    return true;
}

static char *to_text(const struct scheme *s, const config_t *config)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);

    if (stream) {
        config_write(config, stream);
        if (fclose(stream) == 0)
            return text;
        free(text);
    }
    (void)fault(s, NULL, "no memory", NULL);
    return NULL;
}

char *scheme_fill(const char *path, const char *name, const char *serial,
                  char why[GADGET_WHY_BYTES])
{
    struct scheme s = {.path = path, .why = why};
    char *text = NULL;
    config_t config;
    FILE *file = fopen(path, "re");

    if (!file) {
        (void)snprintf(why, GADGET_WHY_BYTES, "%s: %s", path, strerror(errno));
        return NULL;
    }
    config_init(&config);
    if (config_read(&config, file) != CONFIG_TRUE) {
        (void)snprintf(why, GADGET_WHY_BYTES, "%s:%d: %s", path, config_error_line(&config),
                       config_error_text(&config));
    } else {
        config_setting_t *root = config_root_setting(&config);
        if (check_root(&s, root) && find_function(&s, root) && check_configs(&s, root) &&
            fill_in(&s, root, name, serial))
            text = to_text(&s, &config);
    }
    config_destroy(&config);
    (void)fclose(file);
    return text;
}

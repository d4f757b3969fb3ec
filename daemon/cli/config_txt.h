/* SPDX-License-Identifier: BSD-2-Clause */
/* A Raspberry Pi's config.txt: does it make the USB port a device port? */
#ifndef LUNSTICK_CLI_CONFIG_TXT_H
#define LUNSTICK_CLI_CONFIG_TXT_H

enum config_txt_verdict {
    CONFIG_TXT_GOOD,     /* dtoverlay=dwc2 applies to this model */
    CONFIG_TXT_MISSING,  /* it does not, or is commented out */
    CONFIG_TXT_AS_HOST,  /* it does, with dr_mode=host */
    CONFIG_TXT_OTG_MODE, /* otg_mode=1 gives the port to another controller */
};

/* `text` is the file, `model` the device tree's, e.g. "Raspberry Pi 4 Model B
 * Rev 1.1". Sections are observed as boot/image_config_txt.h says; the last line
 * counts. */
enum config_txt_verdict config_txt_check(const char *text, const char *model);

#endif

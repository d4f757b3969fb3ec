/* SPDX-License-Identifier: BSD-2-Clause */
/* The orders of versions that decide which of several kernels is the newest:
 * below 0 if `a` is the older one, above 0 if it is the newer one. */
#ifndef LUNSTICK_BOOT_IMAGE_VERSION_H
#define LUNSTICK_BOOT_IMAGE_VERSION_H

/* UAPI.10, Version Format Specification: what the Boot Loader Specification
 * ("Version Order") sorts by. */
int image_version_compare(const char *a, const char *b);

/* Debian Policy 5.6.12, but that a kernel's release candidate (6.12-rc3) is older
 * than what has no `-rc`. */
int image_version_compare_debian(const char *a, const char *b);

#endif

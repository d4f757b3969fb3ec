#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""cbws.py CAPTURE [--c]: the commands that a host sent over Bulk-Only Transport.

CAPTURE is what LUNSTICK_SIM_PCAP left: pcap of link type 220 (Linux usbmon, with
the 64-byte header). A line each, as in tests/unit/captures: unit, none, in or out,
length, CSW status and residue (- - if none came), CDB. --c: as rows of a table in
tests/unit/host_commands.h, each command once, and one READ(10) of each unit.
"""
import struct
import sys

SUBMIT, COMPLETE, BULK = ord('S'), ord('C'), 3


def packets(path):
    with open(path, 'rb') as f:
        head = f.read(24)
        magic, = struct.unpack('<I', head[:4])
        if magic not in (0xa1b2c3d4, 0xa1b23c4d):
            sys.exit(path + ': no pcap of this byte order')
        if struct.unpack('<I', head[20:24])[0] != 220:
            sys.exit(path + ': not of link type 220')
        while len(record := f.read(16)) == 16:
            size = struct.unpack('<IIII', record)[2]
            data = f.read(size)
            if len(data) == size and size >= 64:
                yield data


def commands(path):
    """(lun, is_in, length, cdb, csw), in order; csw: status and residue, None: none came."""
    pending = None
    for data in packets(path):
        kind, transfer, endpoint = data[8], data[9], data[10]
        payload = data[64:]
        if transfer != BULK:
            continue
        if kind == SUBMIT and not endpoint & 0x80 and len(payload) == 31 and payload[:4] == b'USBC':
            if pending:
                yield pending + (None,)
            length, flags, lun, cdb_bytes = struct.unpack('<IBBB', payload[8:15])
            pending = (lun, bool(flags & 0x80), length, payload[15:15 + cdb_bytes])
        elif kind == COMPLETE and endpoint & 0x80 and len(payload) == 13 and \
                payload[:4] == b'USBS' and pending:
            yield pending + ((payload[12], struct.unpack('<I', payload[8:12])[0]),)
            pending = None
    if pending:
        yield pending + (None,)


def way(is_in, length):
    return 'none' if length == 0 else 'in' if is_in else 'out'


def row(lun, is_in, length, cdb):
    text = ''.join('\\x%02x' % b for b in cdb)
    direction = way(is_in, length).upper()
    return '    {%d, SCSI_DIR_%s, %d, %d, "%s"},' % (lun, direction, length, len(cdb), text)


def print_rows(path):
    seen = set()
    for lun, is_in, length, cdb, _ in commands(path):
        key = (lun, 'READ(10)') if cdb[0] == 0x28 else (lun, length, cdb)
        if key not in seen:
            print(row(lun, is_in, length, cdb))
        seen.add(key)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if '--c' in sys.argv:
        print_rows(sys.argv[1])
        return
    for lun, is_in, length, cdb, csw in commands(sys.argv[1]):
        print(lun, way(is_in, length), length, *(csw or '--'), cdb.hex())


main()

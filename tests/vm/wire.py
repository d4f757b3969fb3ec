# SPDX-License-Identifier: BSD-2-Clause
"""Reads a usbmon text capture and a pcap of iSCSI, and prints what both sides
saw of the last command with one operation code:

    wire.py USBMON PCAP cdb OPCODE      CDB in the CBW, CDB in the SCSI Command PDU
    wire.py USBMON PCAP sense OPCODE    data of the REQUEST SENSE that followed,
                                        sense data in the SCSI Response PDU
"""
import struct
import sys


def usb_transfers(path):
    """(direction, bytes) of each bulk transfer that has data, in order."""
    for line in open(path, encoding="ascii", errors="replace"):
        words = line.split()
        if len(words) < 7 or words[3][:1] != "B" or "=" not in words:
            continue
        # Data to the device are shown at submission, data from it at completion.
        if (words[2], words[3][:2]) in (("S", "Bo"), ("C", "Bi")):
            at = words.index("=")
            yield words[3][:2], bytes.fromhex("".join(words[at + 1:])), int(words[at - 1])


def tcp_streams(path):
    """The byte stream of each direction of each connection, by sequence number."""
    data = open(path, "rb").read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    streams = {}
    while at + 16 <= len(data):
        length = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        frame = data[at + 16:at + 16 + length]
        at += 16 + length
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        ip = 14
        total = struct.unpack(">H", frame[ip + 2:ip + 4])[0]
        tcp = ip + (frame[ip] & 15) * 4
        body = frame[tcp + (frame[tcp + 12] >> 4) * 4:ip + total]
        key = frame[ip + 12:ip + 20] + frame[tcp:tcp + 4]
        sequence = struct.unpack(">I", frame[tcp + 4:tcp + 8])[0]
        if body:
            streams.setdefault(key, {})[sequence] = body
    for packets in streams.values():
        start = min(packets)
        stream = bytearray()
        for sequence in sorted(packets):
            stream[sequence - start:] = packets[sequence]
        yield bytes(stream)


def pdus(stream):
    """(header, data) of each PDU; the capture starts between two of them."""
    at = 0
    while at + 48 <= len(stream):
        header = stream[at:at + 48]
        length = int.from_bytes(header[5:8], "big")
        begin = at + 48 + header[4] * 4
        yield header, stream[begin:begin + length]
        at = begin + (length + 3) // 4 * 4


def main():
    usbmon, pcap, what, opcode = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4], 16)
    cbw = sense = None
    waiting = False
    for direction, data, length in usb_transfers(usbmon):
        if direction == "Bo" and length == 31 and data[:4] == b"USBC":
            waiting = data[15] == 0x03 and cbw is not None
            if data[15] == opcode:
                cbw = data[15:31]
        elif direction == "Bi" and waiting and data[:4] != b"USBS":
            sense, waiting = data, False
    commands, responses = {}, {}
    last = None
    for stream in tcp_streams(pcap):
        for header, data in pdus(stream):
            kind = header[0] & 0x3f
            if kind == 0x01 and header[32] == opcode:
                last = header[16:20]
                commands[last] = header[32:48]
            elif kind == 0x21 and len(data) > 2:
                responses[header[16:20]] = data[2:2 + int.from_bytes(data[:2], "big")]
    if what == "cdb":
        print((cbw or b"").hex() or "-", commands.get(last, b"").hex() or "-")
    else:
        print((sense or b"").hex() or "-", responses.get(last, b"").hex() or "-")


main()

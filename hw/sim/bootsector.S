# SPDX-License-Identifier: BSD-2-Clause
#
# A boot sector for a PC BIOS: reads the SECTORS sectors (an assembler symbol)
# that follow it with int 13h, extended read, and writes to COM1
#     int13h crc32 ==> XXXXXXXX      or      int13h error XX
        .code16
        .set    buffer, 0x8000
        .set    chunk, 64               # sectors; the buffer ends at 64 KiB

        .globl  _start
_start: cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        ljmp    $0, $1f
1:      sti
        cld
        movb    %dl, drive
        movl    $0xffffffff, %ebx       # the crc
        movl    $SECTORS, %ebp          # what is left

next:   movl    $chunk, %eax
        cmpl    %eax, %ebp
        jae     1f
        movl    %ebp, %eax
1:      testl   %eax, %eax
        jz      done
        movw    %ax, count
        subl    %eax, %ebp
        pushl   %ebx
        pushl   %ebp
        movb    drive, %dl
        movw    $packet, %si
        movb    $0x42, %ah
        int     $0x13
        popl    %ebp
        popl    %ebx
        jc      error

        movzwl  count, %ecx
        addl    %ecx, lba
        shll    $9, %ecx
        movw    $buffer, %si
byte:   xorb    (%si), %bl
        incw    %si
        movb    $8, %dl
bit:    shrl    $1, %ebx
        jnc     1f
        xorl    $0xedb88320, %ebx
1:      decb    %dl
        jnz     bit
        decl    %ecx
        jnz     byte
        jmp     next

done:   notl    %ebx
        movw    $good, %si
        call    text
        movw    $8, %cx
        jmp     hex
error:  movzbl  %ah, %ebx
        shll    $24, %ebx
        movw    $bad, %si
        call    text
        movw    $2, %cx
hex:    roll    $4, %ebx                # the top digits of ebx
        movb    %bl, %al
        andb    $15, %al
        addb    $'0', %al
        cmpb    $'9', %al
        jbe     1f
        addb    $'a' - '9' - 1, %al
1:      call    put
        loop    hex
        movb    $'\n', %al
        call    put
1:      hlt
        jmp     1b

text:   lodsb
        testb   %al, %al
        jz      1f
        call    put
        jmp     text
put:    movb    %al, %ah
        movw    $0x3fd, %dx
2:      inb     %dx, %al
        testb   $0x20, %al
        jz      2b
        movw    $0x3f8, %dx
        movb    %ah, %al
        outb    %al, %dx
1:      ret

good:   .asciz  "int13h crc32 ==> "
bad:    .asciz  "int13h error "
drive:  .byte   0
        .balign 4
packet: .byte   16, 0
count:  .word   0
        .word   buffer, 0
lba:    .long   1, 0

        .org    446                     # a partition table would begin here
        .org    510
        .word   0xaa55

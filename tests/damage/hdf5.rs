//! Mends the checksums of a damaged HDF5 file in its newer form, so that its reader looks at what they cover.
//!
//! The format is the HDF5 File Format Specification 3.0; the checksum is Bob Jenkins's lookup3
//! (<https://burtleburtle.net/bob/c/lookup3.c>).

/// Blocks of one length: their signatures, and the bytes that the checksum behind them covers.
const FIXED: [(&[u8], usize); 3] = [(b"BTHD", 34), (b"FRHP", 142), (b"FAHD", 24)];
const SUPERBLOCK: &[u8] = b"\x89HDF\r\n\x1a\n";
const CONTINUATION: usize = 0x10;

/// Sets the checksum of the superblock, of object headers and of what is of one length.
pub fn repair(bytes: &mut [u8]) {
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        if !matches!(rest[0], b'B' | b'F' | b'O' | 0x89) {
            continue;
        }
        let fixed = FIXED.iter().find(|(signature, _)| rest.starts_with(signature));
        let covered = match fixed {
            Some(&(_, length)) => Some(length),
            None if rest.starts_with(SUPERBLOCK) && matches!(rest.get(8), Some(2 | 3)) => Some(44),
            None if rest.starts_with(b"OHDR") => object_header(bytes, at),
            None => None,
        };
        let _ = covered.and_then(|length| sign(bytes, at, length));
    }
}

/// How many bytes of the object header at `at` its checksum covers. Mends those of the blocks that continue it.
fn object_header(bytes: &mut [u8], at: usize) -> Option<usize> {
    let flags = number(bytes, at + 5, 1)?;
    let start = at + 6 + if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 };
    let width = 1 << (flags & 3);
    let end = (start + width).checked_add(number(bytes, start, width)?)?;
    let mut message = start + width;
    while message + 4 <= end {
        let data = message + 4 + if flags & 0x04 != 0 { 2 } else { 0 };
        if number(bytes, message, 1)? == CONTINUATION {
            let (block, length) = (number(bytes, data, 8)?, number(bytes, data + 8, 8)?);
            let _ = length.checked_sub(4).and_then(|length| sign(bytes, block, length));
        }
        message = data + number(bytes, message + 1, 2)?;
    }
    Some(end - at)
}

/// Sets the checksum behind the `length` bytes from `at`.
fn sign(bytes: &mut [u8], at: usize, length: usize) -> Option<()> {
    let end = at.checked_add(length)?;
    let sum = lookup3(bytes.get(at..end)?);
    bytes.get_mut(end..end.checked_add(4)?)?.copy_from_slice(&sum.to_le_bytes());
    Some(())
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

fn lookup3(bytes: &[u8]) -> u32 {
    let mut state = [0xdead_beef_u32.wrapping_add(bytes.len() as u32); 3];
    let mut blocks = bytes.chunks(12).peekable();
    while let Some(block) = blocks.next() {
        let mut padded = [0; 12];
        padded[..block.len()].copy_from_slice(block);
        for (sum, word) in state.iter_mut().zip(padded.as_chunks().0) {
            *sum = sum.wrapping_add(u32::from_le_bytes(*word));
        }
        if blocks.peek().is_some() {
            for (i, turn) in [4, 6, 8, 16, 19, 4].into_iter().enumerate() {
                let (x, y, z) = (i % 3, (i + 2) % 3, (i + 1) % 3);
                state[x] = state[x].wrapping_sub(state[y]) ^ state[y].rotate_left(turn);
                state[y] = state[y].wrapping_add(state[z]);
            }
        } else {
            for (i, turn) in [14, 11, 25, 16, 4, 14, 24].into_iter().enumerate() {
                let (x, y) = ((i + 2) % 3, (i + 1) % 3);
                state[x] = (state[x] ^ state[y]).wrapping_sub(state[y].rotate_left(turn));
            }
        }
    }
    state[2]
}

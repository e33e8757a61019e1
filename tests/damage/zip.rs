//! Mends the checksums of a damaged zip archive, so that its reader looks at what they cover.
//!
//! The format is PKWARE's APPNOTE (<https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>).

/// Sets the CRC-32 of every stored member, in the directory and before the member, to that of its bytes.
pub fn repair(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(found) =
        bytes.get(at..).and_then(|rest| rest.windows(4).position(|four| four == b"PK\x01\x02"))
    {
        let _ = repair_member(bytes, at + found);
        at += found + 4;
    }
}

/// The member of the directory's entry at `entry`; `None` if it is not stored, or not there.
fn repair_member(bytes: &mut [u8], entry: usize) -> Option<()> {
    let method = number(bytes, entry + 10, 2)?;
    let (length, header) = (number(bytes, entry + 20, 4)?, number(bytes, entry + 42, 4)?);
    let start = header + 30 + number(bytes, header + 26, 2)? + number(bytes, header + 28, 2)?;
    let crc = crc32(bytes.get(start..start + length).filter(|_| method == 0)?);
    bytes.get_mut(entry + 16..entry + 20)?.copy_from_slice(&crc.to_le_bytes());
    bytes.get_mut(header + 14..header + 18)?.copy_from_slice(&crc.to_le_bytes());
    Some(())
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    Some(bytes.get(at..at + width)?.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

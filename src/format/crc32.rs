//! The checksum of zip archives' members.

/// The CRC-32 of ISO 3309. Its table is computed, not stored: random numbers do not compress, and those of a library's
/// faster one would be 17 KB of the browser's download.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (byte, entry) in (0u32..).zip(&mut table) {
        *entry = (0..8).fold(byte, |rest, _| (rest >> 1) ^ (0xedb8_8320 * (rest & 1)));
    }
    let sum = bytes.iter().fold(!0u32, |sum, &byte| (sum >> 8) ^ table[usize::from(sum as u8 ^ byte)]);
    !sum
}

#[cfg(test)]
mod tests {
    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::crc32(b""), 0);
    }
}

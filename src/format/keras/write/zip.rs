//! Writes zip archives of uncompressed members ([APPNOTE 6.3](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT)).

use crate::{Error, Result, format::crc32::crc32};

/// 1 January 1980, the first there is: the same model gives the same bytes.
const DATE: u16 = 1 << 5 | 1;

/// An archive of these members.
///
/// # Errors
/// `Unsupported` for 4 GB and more.
pub fn write(members: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let too_large = |_| Error::unsupported("the model has 4 GB or more, too much for a zip archive");
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes) in members {
        let offset = u32::try_from(file.len()).map_err(too_large)?;
        let size = u32::try_from(bytes.len()).map_err(too_large)?;
        // What is the same here and in the directory, 4.3.7: version 2.0, no flags, stored, time and date.
        let mut about = vec![20, 0, 0, 0, 0, 0, 0, 0];
        about.extend(DATE.to_le_bytes());
        for number in [crc32(bytes), size, size, name.len() as u32] {
            about.extend(number.to_le_bytes());
        }
        file.extend(b"PK\x03\x04");
        file.extend(&about);
        file.extend(name.bytes());
        file.extend(*bytes);
        // 4.3.12: no comment, the first disk, no attributes.
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.bytes());
    }
    let start = u32::try_from(file.len()).map_err(too_large)?;
    file.extend(&directory);
    // 4.3.16: the first disk, the number of members twice, no comment.
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([members.len() as u8, 0, members.len() as u8, 0]);
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    Ok(file)
}

//! A name as people give it, as a file name.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Longest name before the extension, bytes; file systems allow 255 in all.
const LONGEST: usize = 180;

/// The file name, without an extension, of what people call `given`: a video's
/// id, a stream's name. No two share one: letters, digits, `.`, `_` and `-`
/// stay, all else (and a leading `.`) becomes `%XX`, byte by byte, as in a URI
/// (RFC 3986, section 2.1); one too long for a file name is cut and ends with
/// `~` and its SHA-256.
pub fn safe_name(given: &str) -> String {
    let mut name = String::with_capacity(given.len());
    for (at, byte) in given.bytes().enumerate() {
        match byte {
            b'.' if at == 0 => name.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                name.push(char::from(byte));
            }
            _ => {
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    if name.len() > LONGEST {
        let digest = Sha256::digest(given.as_bytes());
        // Only ASCII is left, so that any place is one to cut at.
        name.truncate(LONGEST - 65);
        name.push('~');
        for byte in digest.iter() {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_the_rest_is_escaped() {
        assert_eq!(safe_name("v_Archery_g01.avi"), "v_Archery_g01.avi");
        assert_eq!(safe_name("a/b c.mp4"), "a%2Fb%20c.mp4");
        assert_eq!(safe_name("../x"), "%2E.%2Fx");
        assert_eq!(safe_name("é%"), "%C3%A9%25");
    }

    #[test]
    fn long_ids_fit_and_stay_apart() {
        let (a, b) = (format!("{}a", "ü".repeat(300)), format!("{}b", "ü".repeat(300)));
        assert_eq!(safe_name(&a).len(), LONGEST);
        assert_ne!(safe_name(&a), safe_name(&b));
        assert!(safe_name(&a).is_ascii());
    }
}

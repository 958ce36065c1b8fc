//! Secrets that this process was given, so that no text that leaves it holds one:
//! the last resort behind texts that are made without them.

use std::sync::{PoisonError, RwLock};

/// What stands in a secret's place.
const HIDDEN: &str = "***";
/// A shorter one would blot out words that have nothing to do with it.
const SHORTEST: usize = 4;

/// Every secret so far in every form in which it could appear, the longest first.
static KEPT: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// From now on `secret` is hidden, as it is and percent-encoded (RFC 3986, 2.1).
pub(crate) fn keep(secret: &str) {
    if secret.len() < SHORTEST {
        return;
    }
    let encoded = encoded(secret);
    let lower = encoded.to_lowercase();
    let mut kept = KEPT.write().unwrap_or_else(PoisonError::into_inner);
    for form in [secret.to_owned(), encoded, lower] {
        if !kept.contains(&form) {
            kept.push(form);
        }
    }
    kept.sort_by_key(|form| std::cmp::Reverse(form.len()));
}

/// `text` without the secrets.
pub(crate) fn hidden(mut text: String) -> String {
    let kept = KEPT.read().unwrap_or_else(PoisonError::into_inner);
    for secret in kept.iter() {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), HIDDEN);
        }
    }
    text
}

fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_each_of_its_forms() {
        keep("p@ss:word é 71");
        for text in ["a p@ss:word é 71 b", "a p%40ss%3Aword%20%C3%A9%2071 b"] {
            assert_eq!(hidden(text.into()), "a *** b");
        }
        assert_eq!(hidden("a p%40ss%3aword%20%c3%a9%2071 b".into()), "a *** b");
        assert_eq!(hidden("nothing here".into()), "nothing here");
    }

    #[test]
    fn what_is_too_short_to_hide_stays() {
        keep("ab1");
        assert_eq!(hidden("ab1c".into()), "ab1c");
    }

    #[test]
    fn an_error_does_not_tell() {
        keep("kept-from-errors");
        let error = crate::error::Error::config("opening kept-from-errors", "no kept-from-errors")
            .remedy("not kept-from-errors");
        assert_eq!(error.to_string(), "opening ***: no ***. Remedy: not ***");
        assert!(!format!("{error:?}").contains("kept-from"));
    }
}

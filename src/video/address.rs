//! URIs without their secrets: what may be shown, and what must not.

use std::fmt;

/// A URI with its user information taken out (RFC 3986, section 3.2.1).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The URI without user and password; may be logged.
    pub uri: String,
    /// User, percent-decoded.
    pub user: Option<String>,
    /// Password, percent-decoded.
    pub password: Option<String>,
}

impl Address {
    /// Takes user and password out of a URI.
    pub fn parse(uri: &str) -> Self {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Address { uri: uri.to_owned(), user: None, password: None };
        };
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(authority_end);
        let Some((secret, host)) = authority.rsplit_once('@') else {
            return Address { uri: uri.to_owned(), user: None, password: None };
        };
        let (user, password) = match secret.split_once(':') {
            Some((user, password)) => (user, Some(decode(password))),
            None => (secret, None),
        };
        Address { uri: format!("{scheme}://{host}{tail}"), user: Some(decode(user)), password }
    }

    /// The scheme in lower case: `rtsp`.
    pub fn scheme(&self) -> String {
        self.uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:?})", shown(&self.uri))
    }
}

/// Percent-decoding (RFC 3986, section 2.1); what is no valid escape stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Query parameters and GStreamer properties whose value is a secret.
const SECRET_KEYS: [&str; 10] =
    ["password", "passwd", "pass", "pwd", "user-pw", "proxy-pw", "token", "secret", "key", "auth"];

/// Any text as it may be shown: user information in URIs, and values of
/// parameters that are named like secrets, replaced by `***`.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end =
            tail.find(|c: char| c == '/' || c == '?' || c == '#' || c == '"' || c.is_whitespace());
        let authority = &tail[..end.unwrap_or(tail.len())];
        rest = match authority.rfind('@') {
            Some(at) => {
                out.push_str("***");
                &tail[at..]
            }
            None => tail,
        };
    }
    out.push_str(rest);
    hide_values(&out)
}

/// The values of parameters in `text` that are named like secrets.
pub(crate) fn secrets_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    take_values(text, &mut |value| found.push(value.trim_matches('"').to_owned()));
    found
}

fn hide_values(text: &str) -> String {
    take_values(text, &mut |_| {})
}

fn take_values(text: &str, found: &mut dyn FnMut(&str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (head, tail) = rest.split_at(at + 1);
        out.push_str(head);
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = &head[..at];
        let key = &name[name.trim_end_matches(word).len()..];
        rest = tail;
        if SECRET_KEYS.contains(&key.to_ascii_lowercase().as_str()) {
            let end = match tail.strip_prefix('"') {
                Some(quoted) => quoted.find('"').map(|end| end + 2),
                None => tail.find(|c: char| {
                    c == '&' || c == '#' || c == ',' || c == '"' || c.is_whitespace()
                }),
            };
            out.push_str("***");
            let (value, after) = tail.split_at(end.unwrap_or(tail.len()));
            found(value);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_taken_out() {
        let address = Address::parse("rtsp://admin:p%40ss:w@cam.local:554/a?x=y@z");
        assert_eq!(address.uri, "rtsp://cam.local:554/a?x=y@z");
        assert_eq!(address.user.as_deref(), Some("admin"));
        assert_eq!(address.password.as_deref(), Some("p@ss:w"));
        assert_eq!(address.scheme(), "rtsp");
        let unescaped = Address::parse("RTSP://u:p@ss@host/");
        assert_eq!(
            (unescaped.uri.as_str(), unescaped.password.as_deref()),
            ("RTSP://host/", Some("p@ss"))
        );
        let plain = Address::parse("http://host/a@b");
        assert_eq!((plain.uri.as_str(), plain.user), ("http://host/a@b", None));
    }

    #[test]
    fn odd_escapes_stay() {
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%+1é"), "%+1é");
        assert_eq!(decode("%C3%A9"), "é");
    }

    #[test]
    fn secrets_are_not_shown() {
        for (text, wanted) in [
            ("rtsp://u:p@h/x and http://h/y", "rtsp://***@h/x and http://h/y"),
            (
                "rtspsrc location=rtsp://u:p@h user-pw=\"a b\" ! x",
                "rtspsrc location=rtsp://***@h user-pw=*** ! x",
            ),
            ("http://h/x?user=a&password=b&c=d", "http://h/x?user=a&password=***&c=d"),
            ("rtspsrc user-pw=abc", "rtspsrc user-pw=***"),
            ("no secret = here", "no secret = here"),
            ("été=1 token=é", "été=1 token=***"),
        ] {
            assert_eq!(shown(text), wanted);
        }
    }
}

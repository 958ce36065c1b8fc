//! What a client is told.

use std::io::Write;

use serde_json::{Map, Value};

/// An answer, always JSON.
#[derive(Debug)]
pub(super) struct Response {
    status: u16,
    body: Value,
    /// The methods that would do.
    allow: Option<&'static str>,
}

impl Response {
    pub fn new(status: u16, body: Value) -> Self {
        Response { status, body, allow: None }
    }

    /// `{"error": …, "remedy": …}`.
    pub fn error(status: u16, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        let mut body = Map::new();
        body.insert("error".into(), Value::String(error.into()));
        body.insert("remedy".into(), Value::String(remedy.into()));
        Response::new(status, Value::Object(body))
    }

    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    #[cfg(test)]
    pub fn status(&self) -> u16 {
        self.status
    }

    #[cfg(test)]
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.body.to_string();
        body.push('\n');
        let allow = self.allow.map(|methods| format!("Allow: {methods}\r\n")).unwrap_or_default();
        // Too soon to try again at once.
        let retry = if self.status == 503 { "Retry-After: 5\r\n" } else { "" };
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{allow}{retry}Connection: close\r\n\r\n{body}",
            self.status,
            reason(self.status),
            body.len()
        )
        .into_bytes()
    }

    /// Sends it. A client that does not take it goes without.
    pub fn send(&self, to: &mut impl Write) {
        if let Err(error) = to.write_all(&self.bytes()) {
            log::debug!("control: a client did not take its answer: {error}");
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

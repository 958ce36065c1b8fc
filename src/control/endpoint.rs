//! What can be asked for, and what is answered.

use serde_json::{Value, json};

use super::request::Request;
use super::response::Response;
use crate::label::{Claims, LabelClock, Listing, Post, Receipt, Refusal, Why};
use crate::nearest::nearest;

/// Spans of each clock that are listed.
const MOST_SPANS: usize = 500;
const PLACES: &str = "there are GET /streams, GET /streams/NAME, GET and POST /streams/NAME/labels";
const NO_LIVE: &str = "a stream takes labels with labels = { live = true } in its configuration";

/// Answers a request about these streams.
pub(super) fn answer(request: &Request, posts: &[Post]) -> Response {
    let path = request.target.split(['?', '#']).next().unwrap_or_default();
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let parts = (parts.next(), parts.next(), parts.next(), parts.next());
    let reads = match request.method.as_str() {
        "GET" => true,
        "POST" => false,
        _ => return not_allowed(request, "GET, POST"),
    };
    match parts {
        (Some("streams"), None, ..) if reads => {
            let streams: Vec<Value> = posts.iter().map(|p| stream(&p.listing(0))).collect();
            Response::new(200, json!({ "streams": streams }))
        }
        (Some("streams"), None, ..) => not_allowed(request, "GET"),
        (Some("streams"), Some(name), what @ (None | Some("labels")), None) => {
            let post = match find(name, posts) {
                Ok(post) => post,
                Err(response) => return response,
            };
            match (what, reads) {
                (None, true) => Response::new(200, stream(&post.listing(0))),
                (None, false) => not_allowed(request, "GET"),
                (Some(_), true) => Response::new(200, labels(&post.listing(MOST_SPANS))),
                (Some(_), false) => take(request, post),
            }
        }
        _ => Response::error(404, "there is nothing here", PLACES),
    }
}

fn not_allowed(request: &Request, methods: &'static str) -> Response {
    let method: String = request.method.chars().take(20).collect();
    Response::error(405, format!("{method} is not possible here"), format!("use {methods}"))
        .allow(methods)
}

fn find<'a>(escaped: &str, posts: &'a [Post]) -> Result<&'a Post, Response> {
    let Some(name) = unescaped(escaped) else {
        return Err(Response::error(404, "the name is not UTF-8 text in percent-encoding", PLACES));
    };
    posts.iter().find(|post| post.stream() == name).ok_or_else(|| {
        let names = || posts.iter().map(Post::stream);
        let remedy = match nearest(&name, names()) {
            Some(near) => format!("write \"{near}\"?"),
            None => format!("{NO_LIVE}; there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        let shown: String = name.chars().take(60).collect();
        Response::error(404, format!("no stream that takes labels is called \"{shown}\""), remedy)
    })
}

/// Text from percent-encoding (RFC 3986, 2.1); none if it is not UTF-8.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn take(request: &Request, post: &Post) -> Response {
    // A page in a browser can send neither without asking first (CORS), and it
    // is not answered then.
    let clock = post.clock();
    let claims = match request.content_type.as_deref() {
        Some("application/json") => Claims::from_json(&request.body, clock),
        Some("text/csv") => Claims::from_csv(&request.body, clock),
        other => {
            let other: String = other.unwrap_or_default().chars().take(60).collect();
            return Response::error(
                415,
                format!("the content type is \"{other}\""),
                "send application/json or text/csv, such as with curl -H 'Content-Type: application/json'",
            );
        }
    };
    match claims {
        Err(Refusal { fault, remedy, .. }) => Response::error(400, fault, remedy),
        Ok(claims) => {
            let unit = claims.unit;
            receipt(post.stream(), unit, &post.send(claims))
        }
    }
}

fn receipt(stream: &str, unit: &str, receipt: &Receipt) -> Response {
    let mut body = json!({
        "stream": stream,
        "taken": receipt.taken,
        "known": receipt.known,
        "ignored": receipt.ignored,
        "refused": receipt.refusals,
    });
    let Some(first) = receipt.refused.first() else { return Response::new(200, body) };
    let status = match first.refusal.why {
        Why::Invalid => 422,
        Why::Conflict => 409,
        Why::Full => 503,
    };
    body["error"] = format!("{unit} {}: {}", first.place, first.refusal.fault).into();
    body["remedy"] = first.refusal.remedy.as_str().into();
    let refusal = |refused: &crate::label::Refused| {
        let Refusal { fault, remedy, .. } = &refused.refusal;
        json!({ unit: refused.place, "error": fault, "remedy": remedy })
    };
    body["refusals"] = receipt.refused.iter().map(refusal).collect();
    Response::new(status, body)
}

fn stream(listing: &Listing) -> Value {
    let open = listing.open.as_ref().map(
        |(label, start, clock)| json!({ "label": label, "start": start, "clock": clock.name() }),
    );
    json!({
        "name": listing.stream,
        "task": if listing.multi_label { "multi-label" } else { "single-label" },
        "classes": listing.classes,
        "clock": listing.clock.name(),
        "t": listing.newest.map(|(t, _)| t),
        "wall": listing.newest.map(|(_, wall)| wall),
        "taken": listing.taken,
        "late": listing.late,
        "waiting": listing.waiting,
        "open": open,
    })
}

fn labels(listing: &Listing) -> Value {
    let span = |(clock, span): &(LabelClock, crate::label::Span)| json!({ "label": span.label, "start": span.start, "end": span.end, "clock": clock.name() });
    let mut body = stream(listing);
    body["labels"] = listing.spans.iter().map(span).collect();
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::{Aliases, Inbox, Rules, live};

    fn post(stream: &str) -> (Post, Inbox) {
        let classes = ["idle", "wave"].map(String::from).to_vec();
        let aliases = Aliases::new(&classes);
        let clock = LabelClock::Stream;
        live(Rules { stream: stream.into(), classes, aliases, multi_label: false, clock })
    }

    fn ask(posts: &[Post], method: &str, target: &str) -> Response {
        let request =
            Request { method: method.into(), target: target.into(), ..Request::default() };
        answer(&request, posts)
    }

    fn send(posts: &[Post], content_type: &str, body: &str) -> Response {
        let request = Request {
            method: "POST".into(),
            target: "/streams/gate/labels".into(),
            content_type: Some(content_type.into()),
            body: body.into(),
        };
        answer(&request, posts)
    }

    #[test]
    fn streams_and_their_labels_are_listed() {
        let posts = [post("gate").0, post("back yard/é").0];
        let all = ask(&posts, "GET", "/streams");
        assert_eq!((all.status(), all.body()["streams"].as_array().unwrap().len()), (200, 2));
        let one = ask(&posts, "GET", "/streams/back%20yard%2F%c3%A9?x=1");
        assert_eq!(one.body()["name"], "back yard/é");
        assert_eq!(one.body()["classes"], json!(["idle", "wave"]));
        assert_eq!(one.body()["t"], Value::Null);
        send(&posts, "text/csv", "label,start,end\nwave,1,2\n");
        let labels = ask(&posts, "GET", "/streams/gate/labels/");
        let span = json!({"label": "wave", "start": 1.0, "end": 2.0, "clock": "stream"});
        assert_eq!(labels.body()["labels"], json!([span]));
        assert_eq!((&labels.body()["taken"], &labels.body()["waiting"]), (&json!(1), &json!(1)));
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let posts = [post("gate").0];
        for (method, target, status, remedy) in [
            ("GET", "/", 404, "/streams"),
            ("GET", "*", 404, "/streams"),
            ("GET", "/stream", 404, "/streams"),
            ("GET", "/streams/gaet", 404, "\"gate\""),
            ("GET", "/streams/xyzzy/labels", 404, "there are: gate"),
            ("GET", "/streams/%ff", 404, "/streams"),
            ("GET", "/streams/%g0", 404, "/streams"),
            ("GET", "/streams/%4", 404, "/streams"),
            ("GET", "/streams/gate/labels/1", 404, "/streams"),
            ("POST", "/streams", 405, "GET"),
            ("POST", "/streams/gate", 405, "GET"),
            ("DELETE", "/streams/gate/labels", 405, "GET, POST"),
        ] {
            let response = ask(&posts, method, target);
            assert_eq!(response.status(), status, "{method} {target}");
            let told = response.body()["remedy"].as_str().unwrap();
            assert!(told.contains(remedy), "{method} {target}: {told}");
        }
    }

    #[test]
    fn the_answer_says_what_was_taken_and_what_was_not() {
        let (post, _inbox) = post("gate");
        let posts = [post];
        let body =
            r#"[{"label": "wave", "start": 1, "end": 2}, {"label": "wvae", "start": 2, "end": 3}]"#;
        let response = send(&posts, "application/json", body);
        assert_eq!(response.status(), 422);
        assert_eq!(
            (&response.body()["taken"], &response.body()["refused"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(response.body()["refusals"][0]["item"], 2);
        assert!(response.body()["error"].as_str().unwrap().starts_with("item 2: \"wvae\""));
        assert!(response.body()["remedy"].as_str().unwrap().contains("\"wave\""));
        let response = send(&posts, "text/csv", "label,start,end\nidle,1.5,3\nwave,1,2\n");
        assert_eq!((response.status(), &response.body()["known"]), (409, &json!(1)));
        assert_eq!(response.body()["refusals"][0]["line"], 2);
        assert!(response.body()["error"].as_str().unwrap().contains("\"wave\" from 1 s to 2 s"));
        assert_eq!(send(&posts, "text/csv", "label,start,end\nwave,1,2\n").status(), 200);
        assert_eq!(send(&posts, "application/json", "{").status(), 400);
        assert_eq!(send(&posts, "application/x-www-form-urlencoded", "{}").status(), 415);
        let bytes = String::from_utf8(response.bytes()).unwrap();
        let (head, body) = bytes.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 409 Conflict\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }
}

//! Requests of HTTP, and their answers.

use std::collections::VecDeque;

use super::exchange::{End, Items, Next, Random};

/// Stands for any byte of a time.
const ANY: u8 = b'_';

#[derive(Default)]
pub(crate) struct Requests {
    /// The answers that were not heard yet.
    answers: VecDeque<u8>,
}

impl Requests {
    fn request(&mut self, request: &str, answer: &str, end: Option<End>, next: &mut Next) {
        self.answers.extend(answer.as_bytes());
        next.say_whole(request.as_bytes(), answer.len(), end);
    }
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    let date = char::from(ANY).to_string().repeat("Sun, 06 Nov 1994 08:49:37 GMT".len());
    format!(
        "HTTP/1.1 {status}\r\nDate: {date}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{fields}\r\n{body}",
        body.len()
    )
}

impl Items for Requests {
    fn say(&mut self, random: &mut Random, next: &mut Next) {
        let healthy = answer("200 OK", "", "ok\n");
        let (line, answer) = match random.below(5) {
            0 => ("GET /healthz".to_owned(), healthy),
            1 => (format!("GET /healthz?{}", "x".repeat(random.below(4000))), healthy),
            2 => ("GET /readyz".into(), answer("503 Service Unavailable", "", "stopping\n")),
            3 => {
                let whole = answer("404 Not Found", "", "there is no such page\n");
                ("HEAD /x".into(), whole.trim_end_matches("there is no such page\n").to_owned())
            }
            _ => {
                let fields = "Allow: GET, HEAD\r\n";
                ("PUT /".into(), answer("405 Method Not Allowed", fields, "use GET or HEAD\n"))
            }
        };
        self.request(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"), &answer, None, next);
    }

    fn say_last(&mut self, random: &mut Random, next: &mut Next) {
        let (request, status, body, end) = match random.below(4) {
            0 => (
                "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                "200 OK",
                "ok\n",
                End::Closed,
            ),
            1 => (
                "GET /healthz HTTP/1.1\r\n\r\n",
                "400 Bad Request",
                "a request needs the field Host\n",
                End::BadRequest,
            ),
            2 => ("\0", "400 Bad Request", "this is not a request of HTTP/1.1\n", End::BadRequest),
            _ => (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                "413 Content Too Large",
                "a request here has no body\n",
                End::BadRequest,
            ),
        };
        self.request(request, &answer(status, "Connection: close\r\n", body), Some(end), next);
    }

    fn hear(&mut self, bytes: &[u8]) -> usize {
        for byte in bytes {
            let expected = self.answers.pop_front();
            assert!(expected == Some(ANY) || expected == Some(*byte), "another answer");
        }
        bytes.len()
    }

    fn awaits_goodbye(&self) -> bool {
        false
    }
}

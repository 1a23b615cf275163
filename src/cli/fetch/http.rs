//! One request to one mirror. The only file that knows the HTTP client; it knows no files and no digests.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE};
use ureq::{Agent, Error, Timeout};

/// Mirrors of the kind asked here redirect once or twice.
const MAX_REDIRECTS: u32 = 5;

/// What a mirror answers.
pub struct Answer {
    /// The offset of the body's first byte in the file: what was asked for, or 0 from a mirror that gives all or nothing.
    pub start: u64,
    /// As the mirror says, which may be wrong.
    pub body_bytes: Option<u64>,
    body: Box<dyn Read>,
}

/// Why a mirror gives nothing, or nothing more.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Half a sentence: "answers 404 Not Found".
    pub told: String,
    pub kind: FailureKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It was not even reached.
    Unreached,
    /// It has no such part of the file.
    NoSuchPart,
    /// It stopped half-way, and may go on when asked again.
    BrokenOff,
    /// All other reasons.
    Other,
}

/// Asks for `url` from the byte `from` on, for at most `left` in all, and waits at most `stall` for anything to come.
pub fn get(url: &str, from: u64, left: Duration, stall: Duration) -> Result<Answer, Failure> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(MAX_REDIRECTS)
        .user_agent(concat!("flatnet/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(left))
        .timeout_resolve(Some(stall))
        .timeout_connect(Some(stall))
        .timeout_recv_response(Some(stall))
        .timeout_per_read(Some(stall))
        .build();
    // The digests are of the file as it lies there, so nothing may pack or unpack it on the way.
    let mut request = Agent::new_with_config(config).get(url).header(ACCEPT_ENCODING, "identity");
    if from > 0 {
        request = request.header(RANGE, format!("bytes={from}-"));
    }
    let response = request.call().map_err(|error| failure(error, Stage::Asking))?;
    let (parts, body) = response.into_parts();
    let start = match parts.status {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if first_byte(&parts.headers) == Some(from) => from,
        StatusCode::PARTIAL_CONTENT => {
            return Err(Failure {
                told: "sends another part of the file than asked for".into(),
                kind: FailureKind::NoSuchPart,
            });
        }
        StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
            return Err(Failure { told: "has no more of the file".into(), kind: FailureKind::NoSuchPart });
        }
        status => return Err(Failure { told: format!("answers {status}"), kind: FailureKind::Other }),
    };
    let body_bytes = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    Ok(Answer { start, body_bytes, body: Box::new(body.into_reader()) })
}

impl Answer {
    /// Reads the next bytes of the body; 0 at its end. A body that is shorter than the mirror said is a failure.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match self.body.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read.map_err(|error| failure(Error::from(error), Stage::Reading)),
            }
        }
    }
}

/// Of `content-range: bytes 100-199/200`: 100.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Up to the answer's first line.
    Asking,
    Reading,
}

fn failure(error: Error, stage: Stage) -> Failure {
    let unreached = |told: String| Failure { told, kind: FailureKind::Unreached };
    let other = |told: String| Failure { told, kind: FailureKind::Other };
    match error {
        Error::HostNotFound => unreached("its name is not found".into()),
        Error::ConnectionFailed => unreached("it cannot be reached".into()),
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => unreached("it does not answer".into()),
        Error::Timeout(Timeout::Global) => other("the time limit is over".into()),
        Error::Timeout(_) => other("it falls silent".into()),
        Error::TooManyRedirects => other(format!("it redirects more than {MAX_REDIRECTS} times")),
        Error::Io(error) => match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
                Failure { told: "it breaks off".into(), kind: FailureKind::BrokenOff }
            }
            ErrorKind::ConnectionRefused | ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
                unreached("it cannot be reached".into())
            }
            // It speaks something else, such as HTTP where TLS was expected.
            ErrorKind::InvalidData => other(error.to_string()),
            // Such as a name that is not found, for which there is no kind.
            _ if stage == Stage::Asking => unreached(error.to_string()),
            _ => other(error.to_string()),
        },
        error => other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_of_a_range_is_read_or_nothing() {
        for (text, expected) in [
            ("bytes 100-199/200", Some(100)),
            ("bytes 0-0/*", Some(0)),
            ("bytes */200", None),
            ("items 1-2/3", None),
            ("bytes -1-2/3", None),
            ("bytes 99999999999999999999-1/2", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            assert_eq!(first_byte(&headers), expected, "{text}");
        }
        assert_eq!(first_byte(&HeaderMap::new()), None);
    }
}

//! How many `Content-Length` lines an HTTP/1 head has (RFC 9112 §6.1), told from its bytes as they are read.
//!
//! hyper drops such a line from a request that is chunked as well, and the second of two that say the same, so a service cannot
//! see that the request had both, which is how a second request is smuggled past a proxy that believes another one. The scan
//! follows one head from its first byte; a pipelined head that arrived together with its predecessor escapes it. That is bearable: it only
//! decides between refusing and answering, as the connection ends after any chunked request.

const NAME: &[u8] = b"content-length:";

/// A scan over one head.
#[derive(Debug, Default)]
pub(super) struct LengthField {
    /// Bytes of the current line so far, up to the first that differs from `NAME`; line ends are not counted.
    column: usize,
    /// Whether the current line differs from `NAME` already.
    other: bool,
    /// Whether a line that is not empty was seen: empty ones before it belong to no head (RFC 9112 §2.2).
    started: bool,
    ended: bool,
    count: u8,
}

impl LengthField {
    /// How many such lines were seen.
    pub(super) fn count(&self) -> u8 {
        self.count
    }

    /// Goes on with the next bytes of the head; those after its end are ignored.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !self.ended {
            if self.other {
                // What follows in a line that is another one says nothing.
                let Some(end) = memchr::memchr(b'\n', bytes) else { return };
                bytes = &bytes[end..];
            }
            let Some((&byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            match byte {
                b'\n' => {
                    self.ended = self.started && self.column == 0;
                    self.started |= self.column > 0;
                    self.column = 0;
                    self.other = false;
                }
                b'\r' => {}
                _ => {
                    self.other = byte.to_ascii_lowercase() != NAME[self.column];
                    self.column += 1;
                    if !self.other && self.column == NAME.len() {
                        self.count = self.count.saturating_add(1);
                        self.other = true;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LengthField;

    fn scan(pieces: &[&str]) -> u8 {
        let mut field = LengthField::default();
        pieces.iter().for_each(|piece| field.feed(piece.as_bytes()));
        field.count()
    }

    // V-63
    #[test]
    fn empty_lines_before_the_request_line_are_skipped() {
        assert_eq!(scan(&["\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"]), 1);
    }

    #[test]
    fn the_lines_are_found_however_they_are_cut() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-LENGTH: 5\r\nx: y\r\ncontent-length:5\r\n\r\ncontent-length: 1";
        for cut in 0..head.len() {
            assert_eq!(scan(&[&head[..cut], &head[cut..]]), 2, "{cut}");
        }
    }

    #[test]
    fn other_lines_and_bodies_are_not_taken_for_it() {
        for bytes in [
            "GET / HTTP/1.1\r\nx: content-length: 5\r\ncontent-lengths: 5\r\ncontent-type: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\ncontent-length: 5\r\n",
            "GET / HTTP/1.1\n\ncontent-length: 5\n",
            "\r\n",
        ] {
            assert_eq!(scan(&[bytes]), 0, "{bytes:?}");
        }
    }
}

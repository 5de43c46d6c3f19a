//! Server-sent events, cut out of whatever pieces they come in: bytes stay as they are, memory stays bounded.

use std::{borrow::Cow, ops::Range};

use bytes::{Bytes, BytesMut};

/// The longest frame that is held to be read; a longer one passes unread as it comes.
pub(super) const FRAME_BYTES: usize = 1 << 20;

/// What a stream is cut into.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// Lines up to and with a blank one, or to the end of the stream.
    Frame(&'a [u8]),
    /// So many bytes of a frame too long to hold; they are forwarded in any case.
    Passed(usize),
}

/// What happens to a frame that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Forward,
    Strip,
}

/// Reads a piece and decides its fate.
pub(super) type Read<'a> = &'a mut dyn FnMut(Piece<'_>) -> Fate;

/// Cuts a stream into frames, whatever ends their lines: LF, CR LF or CR.
#[derive(Debug)]
pub(super) struct Frames {
    /// The beginning of a frame whose end has not come.
    held: BytesMut,
    is_line_empty: bool,
    last_byte: LastByte,
    /// Whether the current frame grew too long to hold.
    is_passing: bool,
}

/// What the stream's last byte says about a LF that may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastByte {
    /// A LF would end a line.
    Plain,
    /// A CR within a frame: a LF belongs to the same end of line.
    Cr,
    /// A CR that ended a frame of this fate: a LF shares it.
    CrOfFrame(Fate),
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            held: BytesMut::new(),
            is_line_empty: true,
            last_byte: LastByte::Plain,
            is_passing: false,
        }
    }
}

impl Frames {
    /// Says whether part of an unfinished frame was already forwarded.
    pub(super) const fn is_mid_frame(&self) -> bool {
        self.is_passing
    }

    /// Takes the next bytes; whole frames go to `out` unless `read` strips them.
    pub(super) fn feed(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>, read: Read<'_>) {
        if chunk.is_empty() {
            return;
        }
        let mut ready = Ready {
            chunk,
            span: 0..0,
            out,
        };
        let (mut frame, mut at) = self.lone_lf(&mut ready);
        while let Some(line) = self.line(chunk, at) {
            at = line.end;
            if line.is_blank {
                let fate = self.whole(frame..at, &mut ready, read);
                frame = at;
                if line.has_open_cr {
                    self.last_byte = LastByte::CrOfFrame(fate);
                }
            }
        }
        self.keep(frame..chunk.len(), &mut ready, read);
        ready.flush();
    }

    /// Takes the end of the stream: what is held is read as a last frame.
    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>, read: Read<'_>) {
        let held = std::mem::take(self).held.freeze();
        if !held.is_empty() && read(Piece::Frame(&held)) == Fate::Forward {
            out.push(held);
        }
    }

    /// Deals with a LF that belongs to a CR of the bytes before; returns where frame and line begin.
    fn lone_lf(&mut self, ready: &mut Ready<'_>) -> (usize, usize) {
        let last_byte = std::mem::replace(&mut self.last_byte, LastByte::Plain);
        let is_lf = ready.chunk.first() == Some(&b'\n');
        match last_byte {
            LastByte::Cr if is_lf => (0, 1),
            LastByte::CrOfFrame(Fate::Strip) if is_lf => (1, 1),
            LastByte::CrOfFrame(Fate::Forward) if is_lf => {
                ready.take(0..1);
                (1, 1)
            }
            LastByte::Plain | LastByte::Cr | LastByte::CrOfFrame(_) => (0, 0),
        }
    }

    /// Finds the end of the line that `at` lies in.
    fn line(&mut self, chunk: &[u8], at: usize) -> Option<Line> {
        let rest = chunk.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'\n', b'\r', rest) else {
            self.is_line_empty &= rest.is_empty();
            return None;
        };
        let is_blank = self.is_line_empty && found == 0;
        self.is_line_empty = true;
        let (length, has_open_cr) = match rest.get(found..) {
            Some([b'\r', b'\n', ..]) => (2, false),
            Some([b'\r']) => (1, true),
            _ => (1, false),
        };
        if has_open_cr {
            self.last_byte = LastByte::Cr;
        }
        Some(Line {
            end: at + found + length,
            is_blank,
            has_open_cr,
        })
    }

    /// Deals with a frame that ended.
    fn whole(&mut self, span: Range<usize>, ready: &mut Ready<'_>, read: Read<'_>) -> Fate {
        let tail = ready.chunk.get(span.clone()).unwrap_or_default();
        if std::mem::take(&mut self.is_passing) {
            read(Piece::Passed(tail.len()));
            ready.take(span);
            return Fate::Forward;
        }
        if self.held.is_empty() {
            let fate = read(Piece::Frame(tail));
            if fate == Fate::Forward {
                ready.take(span);
            }
            return fate;
        }
        self.held.extend_from_slice(tail);
        let frame = self.held.split().freeze();
        let fate = read(Piece::Frame(&frame));
        if fate == Fate::Forward {
            ready.push(frame);
        }
        fate
    }

    /// Holds the beginning of a frame, or lets it pass when it is too long.
    fn keep(&mut self, span: Range<usize>, ready: &mut Ready<'_>, read: Read<'_>) {
        let tail = ready.chunk.get(span.clone()).unwrap_or_default();
        if tail.is_empty() {
            return;
        }
        if !self.is_passing && self.held.len() + tail.len() <= FRAME_BYTES {
            self.held.extend_from_slice(tail);
            return;
        }
        self.is_passing = true;
        let held = std::mem::take(&mut self.held).freeze();
        read(Piece::Passed(held.len() + tail.len()));
        if !held.is_empty() {
            ready.push(held);
        }
        ready.take(span);
    }
}

struct Line {
    end: usize,
    is_blank: bool,
    /// The line ended with the CR that is the last byte so far.
    has_open_cr: bool,
}

/// What goes on, as few slices of the chunk as possible.
struct Ready<'a> {
    chunk: &'a Bytes,
    span: Range<usize>,
    out: &'a mut Vec<Bytes>,
}

impl Ready<'_> {
    fn take(&mut self, span: Range<usize>) {
        if self.span.end != span.start {
            self.flush();
            self.span.start = span.start;
        }
        self.span.end = span.end;
    }

    fn push(&mut self, bytes: Bytes) {
        self.flush();
        self.out.push(bytes);
    }

    fn flush(&mut self) {
        if !self.span.is_empty() {
            self.out.push(self.chunk.slice(self.span.clone()));
        }
        self.span = self.span.end..self.span.end;
    }
}

/// Returns the data of a frame, its lines joined; `None` when it has none (a comment, say).
pub(super) fn data(frame: &[u8]) -> Option<Cow<'_, [u8]>> {
    let frame = frame.strip_prefix(b"\xef\xbb\xbf").unwrap_or(frame);
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut rest = frame;
    while !rest.is_empty() {
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let Some(value) = line.strip_prefix(b"data:") else {
            continue;
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &mut data {
            None => data = Some(Cow::Borrowed(value)),
            Some(lines) => {
                let lines = lines.to_mut();
                lines.push(b'\n');
                lines.extend_from_slice(value);
            }
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the pieces and returns the frames read, the bytes forwarded, and the most that was held at once.
    fn cut(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>, usize) {
        let (mut frames, mut out, mut most) = (Frames::default(), Vec::new(), 0);
        let mut seen = Vec::new();
        let mut read = |piece: Piece<'_>| match piece {
            Piece::Frame(frame) => {
                let data = data(frame).map(Cow::into_owned);
                let is_stripped = data.as_deref() == Some(b"strip");
                seen.extend(data);
                if is_stripped {
                    Fate::Strip
                } else {
                    Fate::Forward
                }
            }
            Piece::Passed(_) => Fate::Forward,
        };
        for piece in pieces {
            frames.feed(&Bytes::copy_from_slice(piece), &mut out, &mut read);
            most = most.max(frames.held.len());
        }
        frames.finish(&mut out, &mut read);
        (seen, out.concat(), most)
    }

    #[test]
    fn any_cut_gives_the_same_frames_and_the_same_bytes() {
        for (stream, data, forwarded) in [
            (
                "data: a\n\ndata: strip\n\ndata: b\n\n",
                "a strip b",
                "data: a\n\ndata: b\n\n",
            ),
            (
                "data: a\r\n\r\ndata: strip\r\n\r\ndata: b\r\n\r\n",
                "a strip b",
                "data: a\r\n\r\ndata: b\r\n\r\n",
            ),
            (
                "data: a\r\rdata: strip\r\rdata: b\r\r",
                "a strip b",
                "data: a\r\rdata: b\r\r",
            ),
            (
                "data: a\r\n\ndata: strip\n\r\ndata: b\r\n\r",
                "a strip b",
                "data: a\r\n\ndata: b\r\n\r",
            ),
            (
                "\u{feff}data:a\n\n: comment\n\nevent: x\ndata: strip\n\n\n\ndata: b",
                "a strip b",
                "\u{feff}data:a\n\n: comment\n\n\n\ndata: b",
            ),
            ("data: a\n\ndata: strip", "a strip", "data: a\n\n"),
            ("\r\n\r\n\r\rdata: a\n\n", "a", "\r\n\r\n\r\rdata: a\n\n"),
            (
                "data: strip\r\n\r\n\r\ndata: a\r\n\r\n",
                "strip a",
                "\r\ndata: a\r\n\r\n",
            ),
        ] {
            let bytes = stream.as_bytes();
            let expected: Vec<Vec<u8>> = data
                .split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect();
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    let (seen, out, _) = cut(&pieces);
                    assert_eq!(seen, expected, "{stream:?} at {first}, {second}");
                    assert_eq!(
                        String::from_utf8_lossy(&out),
                        forwarded,
                        "{stream:?} at {first}, {second}"
                    );
                }
            }
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(
                cut(&singly).1,
                forwarded.as_bytes(),
                "{stream:?} byte by byte"
            );
        }
    }

    #[test]
    fn lines_of_one_frame_are_joined() {
        let (seen, _, _) = cut(&[b"data: {\"a\":\ndata: 1}\n\n"]);

        assert_eq!(seen, [b"{\"a\":\n1}".to_vec()]);
    }

    #[test]
    fn a_line_of_ten_megabytes_passes_unchanged_and_unheld() {
        let mut stream = b"data: a\n\ndata: ".to_vec();
        stream.extend(std::iter::repeat_n(b'x', 10 << 20));
        stream.extend_from_slice(b"\n\ndata: b\n\n");
        let pieces: Vec<&[u8]> = stream.chunks(16_384).collect();

        let (seen, out, most) = cut(&pieces);

        assert!(most <= FRAME_BYTES, "{most}");
        assert!(out == stream);
        assert_eq!(seen, [b"a".to_vec(), b"b".to_vec()]);
    }

    #[test]
    fn whole_frames_go_on_as_one_slice_of_the_chunk() {
        let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\ndata: c\n\ndata: d");
        let mut out = Vec::new();

        Frames::default().feed(&chunk, &mut out, &mut |_| Fate::Forward);

        assert_eq!(out, [chunk.slice(..27)]);
        assert_eq!(out[0].as_ptr(), chunk.as_ptr());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_cut_anyhow_come_out_as_they_went_in(
            bytes in proptest::collection::vec(proptest::sample::select(b"data: x\n\n\r\r\xff\0:".to_vec()), 0..120),
            size in 1_usize..20,
        ) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let (seen, out, _) = cut(&pieces);
            let (expected, whole, _) = cut(&[&bytes]);
            proptest::prop_assert_eq!(&out, &whole);
            proptest::prop_assert_eq!(seen, expected);
            proptest::prop_assert_eq!(out, bytes);
        }
    }
}

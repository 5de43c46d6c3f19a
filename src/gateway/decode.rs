//! Answers that come compressed although identity was asked for: read, within bounds.

use std::io::Write;

use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::HeaderValue;

/// How many bytes one byte of a compressed answer may become; text rarely passes 20.
const MAX_RATIO: u64 = 100;

/// What small answers may become whatever their ratio.
const FREE_BYTES: u64 = 1024 * 1024;

/// Undoes a content coding, piece by piece.
pub(super) enum Decoder {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>, Sizes),
    Deflate(Box<ZlibDecoder<Vec<u8>>>, Sizes),
}

/// What went in and came out.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    packed: u64,
    plain: u64,
}

/// The answer unpacks to more than it could honestly hold, or is not packed as it says.
#[derive(Debug, thiserror::Error)]
#[error("the compressed answer cannot be read")]
pub(super) struct Undecodable;

impl Decoder {
    /// Returns the decoder of a `content-encoding`, or `None` for one nobody here reads.
    pub(super) fn of(encoding: Option<&HeaderValue>) -> Option<Self> {
        let name = encoding.map_or("identity", |value| value.to_str().unwrap_or("unknown"));
        match name.trim() {
            "identity" | "" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip(
                Box::new(MultiGzDecoder::new(Vec::new())),
                Sizes::default(),
            )),
            "deflate" => Some(Self::Deflate(
                Box::new(ZlibDecoder::new(Vec::new())),
                Sizes::default(),
            )),
            _ => None,
        }
    }

    /// Decodes one piece; identity passes it on without a copy.
    pub(super) fn decode(&mut self, piece: Bytes) -> Result<Bytes, Undecodable> {
        let (plain, sizes) = match self {
            Self::Identity => return Ok(piece),
            Self::Gzip(decoder, sizes) => {
                unpack(&mut **decoder, &piece)?;
                (std::mem::take(decoder.get_mut()), sizes)
            }
            Self::Deflate(decoder, sizes) => {
                unpack(&mut **decoder, &piece)?;
                (std::mem::take(decoder.get_mut()), sizes)
            }
        };
        sizes.packed = sizes.packed.saturating_add(length(piece.len()));
        sizes.plain = sizes.plain.saturating_add(length(plain.len()));
        if FREE_BYTES.max(sizes.packed.saturating_mul(MAX_RATIO)) < sizes.plain {
            return Err(Undecodable);
        }
        Ok(Bytes::from(plain))
    }
}

fn unpack(decoder: &mut impl Write, piece: &[u8]) -> Result<(), Undecodable> {
    decoder
        .write_all(piece)
        .and_then(|()| decoder.flush())
        .map_err(|_| Undecodable)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_answer_is_read_in_whatever_pieces_it_comes() {
        let packed = gzip(b"data: hello\n\n");
        let mut decoder = Decoder::of(Some(&HeaderValue::from_static("gzip"))).unwrap();
        let mut plain = Vec::new();

        for byte in packed {
            plain.extend_from_slice(&decoder.decode(Bytes::from(vec![byte])).unwrap());
        }

        assert_eq!(plain, b"data: hello\n\n");
    }

    #[test]
    fn a_bomb_is_refused() {
        let packed = gzip(&vec![0; 16 * 1024 * 1024]);
        let mut decoder = Decoder::of(Some(&HeaderValue::from_static("gzip"))).unwrap();

        assert!(decoder.decode(Bytes::from(packed)).is_err());
    }
}

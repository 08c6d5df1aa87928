//! The SHA-256 of several texts (layer 0).

use aws_lc_rs::digest::{Context, SHA256};

/// The digest of these parts, each preceded by its length: no other list of parts is the same text.
pub fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        let part = part.as_ref();
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::digest;

    use super::*;

    // Stores keep them.
    #[test]
    fn each_part_is_preceded_by_its_length() {
        let text = b"\0\0\0\0\0\0\0\x02ab\0\0\0\0\0\0\0\x01c";
        assert_eq!(of(["ab", "c"]), digest(&SHA256, text).as_ref());
    }

    #[test]
    fn bytes_that_move_from_one_part_to_another_make_another_one() {
        assert_eq!(of(["ab", "c"]), of(["ab", "c"]));
        for parts in [&["a", "bc"][..], &["abc", ""], &["", "abc"], &["abc"], &["ab", "c", ""]] {
            assert_ne!(of(["ab", "c"]), of(parts), "{parts:?}");
        }
    }
}

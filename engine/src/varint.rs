//! Variable-length integers as they are read from disk: seven bits a byte, in one way only.
//!
//! The library refuses what is longer than it need be, but lets the bits of the last byte that
//! have no place in the type fall off: several spellings of one number, the longer ones changed
//! by damage. Those are refused here.

use unsigned_varint::decode;
pub(crate) use unsigned_varint::decode::Error;

macro_rules! bounded {
    ($name:ident) => {
        /// Reads a number; the bytes behind it are the second of the pair.
        #[inline]
        pub(crate) fn $name(bytes: &[u8]) -> Result<($name, &[u8]), Error> {
            let (value, rest) = decode::$name(bytes)?;
            let used = bytes.len() - rest.len();
            let beyond = (7 * used).saturating_sub($name::BITS as usize);
            if beyond > 0 && bytes[used - 1] >> (7 - beyond) != 0 {
                return Err(Error::Overflow);
            }
            Ok((value, rest))
        }
    };
}

bounded!(u16);
bounded!(u32);
bounded!(u64);
bounded!(u128);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unsigned_varint::encode;

    macro_rules! is_one_way {
        ($name:ident, $buffer:ident) => {
            proptest! {
                /// Whatever is read is written again as it was.
                #[test]
                fn $name(
                    full in prop::collection::vec(prop_oneof![Just(0xff_u8), Just(0x80_u8), 0x80_u8..], 0..20),
                    last in 0_u8..0x80,
                ) {
                    let bytes = [&full[..], &[last]].concat();
                    if let Ok((value, rest)) = super::$name(&bytes) {
                        prop_assert!(rest.is_empty());
                        let mut buffer = encode::$buffer();
 prop_assert_eq!(encode::$name(value, &mut buffer), &bytes[..]);
                    }
                }
            }
        };
    }

    mod one_way {
        use super::*;
        is_one_way!(u16, u16_buffer);
        is_one_way!(u32, u32_buffer);
        is_one_way!(u64, u64_buffer);
        is_one_way!(u128, u128_buffer);
    }

    #[test]
    fn the_largest_is_read_and_one_bit_more_is_not() {
        for (largest, refused) in [(0x0f_u8, 0x1f_u8), (0x0f, 0x4f)] {
            let bytes = |last| [&[0xff; 4][..], &[last]].concat();
            assert_eq!(u32(&bytes(largest)).map(|(value, _)| value), Ok(u32::MAX));
            assert_eq!(u32(&bytes(refused)), Err(Error::Overflow));
        }
        let bytes = |last| [&[0xff; 9][..], &[last]].concat();
        assert_eq!(u64(&bytes(1)).map(|(value, _)| value), Ok(u64::MAX));
        assert_eq!(u64(&bytes(3)), Err(Error::Overflow));
        let bytes = |last| [&[0xff; 18][..], &[last]].concat();
        assert_eq!(u128(&bytes(3)).map(|(value, _)| value), Ok(u128::MAX));
        assert_eq!(u128(&bytes(7)), Err(Error::Overflow));
    }
}

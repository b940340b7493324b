//! One line of a page, looked at as a whole: which of its slots may hold an id, and which are
//! free.

/// Slots in one line of the processor's cache.
pub(super) const LINE: usize = 8;

/// Which slots of a line hold these bits, and which are free, a bit for each.
#[inline]
pub(super) fn compare(line: &[u64; LINE], bits: u32) -> (u32, u32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE2.
    #[allow(unsafe_code)]
    let (alike, free) = unsafe { compare_by_vectors(line, bits) };
    #[cfg(not(target_arch = "x86_64"))]
    let (alike, free) = compare_one_by_one(line, bits);
    (alike & !free, free)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn compare_one_by_one(line: &[u64; LINE], bits: u32) -> (u32, u32) {
    let (mut alike, mut free) = (0, 0);
    for (at, slot) in line.iter().enumerate() {
        alike |= u32::from((slot >> 32) as u32 == bits) << at;
        free |= u32::from(*slot as u32 == 0) << at;
    }
    (alike, free)
}

/// The same in 20 instructions instead of 100.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn compare_by_vectors(line: &[u64; LINE], bits: u32) -> (u32, u32) {
    use std::arch::x86_64::{
        __m128i, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_movemask_epi8,
        _mm_packs_epi16, _mm_packs_epi32, _mm_set_epi64x, _mm_set1_epi32, _mm_setzero_si128,
        _mm_shuffle_ps,
    };
    const LOW: i32 = 0b10_00_10_00;
    const HIGH: i32 = 0b11_01_11_01;
    let two = |at: usize| {
        _mm_castsi128_ps(_mm_set_epi64x(line[at + 1].cast_signed(), line[at].cast_signed()))
    };
    let (a, b, c, d) = (two(0), two(2), two(4), two(6));
    let wanted = _mm_set1_epi32(bits.cast_signed());
    let is = |half: __m128i, with: __m128i| _mm_cmpeq_epi32(half, with);
    let high = |a, b| _mm_castps_si128(_mm_shuffle_ps::<HIGH>(a, b));
    let low = |a, b| _mm_castps_si128(_mm_shuffle_ps::<LOW>(a, b));
    let alike = _mm_packs_epi32(is(high(a, b), wanted), is(high(c, d), wanted));
    let none = _mm_setzero_si128();
    let free = _mm_packs_epi32(is(low(a, b), none), is(low(c, d), none));
    let both = _mm_movemask_epi8(_mm_packs_epi16(alike, free)).cast_unsigned();
    (both & 0xff, both >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id_table::pack;

    #[test]
    fn a_line_is_compared_the_same_by_vectors() {
        let mut rng = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = || {
            rng = rng.wrapping_mul(0xd129_0bb2_6b05_7e4d).wrapping_add(1);
            rng >> 32
        };
        for _ in 0..10_000 {
            let bits = draw() as u32 % 4;
            // Bits from 0 to 3 and free slots, so that everything meets everything.
            let line = std::array::from_fn(|_| match draw() % 4 {
                0 => 0,
                _ => pack(draw() as u32 % 4, draw() as u32 & 0x7fff_ffff),
            });
            let (alike, free) = compare_one_by_one(&line, bits);
            assert_eq!(compare(&line, bits), (alike & !free, free), "{bits}: {line:x?}");
        }
    }
}

//! What a value of an array is on the disk, and as f32. It knows no format: IDX and NumPy's files both hold such values.

use half::f16;

/// The type of an array's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// A byte: 0, or anything else.
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    /// IEEE's binary16.
    F16,
    F32,
    F64,
}

/// Which byte of a value comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl Element {
    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Element::Bool | Element::U8 | Element::I8 => 1,
            Element::U16 | Element::I16 | Element::F16 => 2,
            Element::U32 | Element::I32 | Element::F32 => 4,
            Element::U64 | Element::I64 | Element::F64 => 8,
        }
    }

    /// Whether values are whole numbers by their type.
    pub fn is_whole(self) -> bool {
        !matches!(self, Element::F16 | Element::F32 | Element::F64)
    }

    /// As NumPy calls it.
    pub fn name(self) -> &'static str {
        match self {
            Element::Bool => "bool",
            Element::U8 => "uint8",
            Element::I8 => "int8",
            Element::U16 => "uint16",
            Element::I16 => "int16",
            Element::U32 => "uint32",
            Element::I32 => "int32",
            Element::U64 => "uint64",
            Element::I64 => "int64",
            Element::F16 => "float16",
            Element::F32 => "float32",
            Element::F64 => "float64",
        }
    }

    /// Appends the values of `bytes`, a whole number of them, each as the nearest f32 (infinite where there is none).
    pub fn append(self, order: ByteOrder, bytes: &[u8], values: &mut Vec<f32>) {
        /// The values of `N` bytes each, little-endian ones after `order` has been seen to.
        fn each<const N: usize>(bytes: &[u8], order: ByteOrder, value: impl Fn([u8; N]) -> f32, out: &mut Vec<f32>) {
            let turned = |mut bytes: [u8; N]| {
                if order == ByteOrder::Big {
                    bytes.reverse();
                }
                value(bytes)
            };
            out.extend(bytes.as_chunks::<N>().0.iter().copied().map(turned));
        }
        match self {
            Element::Bool => values.extend(bytes.iter().map(|byte| f32::from(u8::from(*byte != 0)))),
            Element::U8 => values.extend(bytes.iter().map(|byte| f32::from(*byte))),
            Element::I8 => values.extend(bytes.iter().map(|byte| f32::from(byte.cast_signed()))),
            Element::U16 => each(bytes, order, |bytes| f32::from(u16::from_le_bytes(bytes)), values),
            Element::I16 => each(bytes, order, |bytes| f32::from(i16::from_le_bytes(bytes)), values),
            Element::U32 => each(bytes, order, |bytes| u32::from_le_bytes(bytes) as f32, values),
            Element::I32 => each(bytes, order, |bytes| i32::from_le_bytes(bytes) as f32, values),
            Element::U64 => each(bytes, order, |bytes| u64::from_le_bytes(bytes) as f32, values),
            Element::I64 => each(bytes, order, |bytes| i64::from_le_bytes(bytes) as f32, values),
            Element::F16 => each(bytes, order, |bytes| f16::from_le_bytes(bytes).to_f32(), values),
            Element::F32 => each(bytes, order, f32::from_le_bytes, values),
            Element::F64 => each(bytes, order, |bytes| f64::from_le_bytes(bytes) as f32, values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(element: Element, order: ByteOrder, bytes: &[u8]) -> Vec<f32> {
        let mut values = Vec::new();
        element.append(order, bytes, &mut values);
        values
    }

    #[test]
    fn values_of_every_type_are_read_in_both_orders() {
        for (element, little, expected) in [
            (Element::Bool, &[0, 1, 7][..], &[0.0, 1.0, 1.0][..]),
            (Element::U8, &[0, 255], &[0.0, 255.0]),
            (Element::I8, &[255, 128], &[-1.0, -128.0]),
            (Element::U16, &[1, 2, 255, 255], &[513.0, 65_535.0]),
            (Element::I16, &[254, 255], &[-2.0]),
            (Element::U32, &[0, 0, 0, 128], &[2_147_483_648.0]),
            (Element::I32, &[0, 0, 0, 128], &[-2_147_483_648.0]),
            (Element::U64, &[0, 0, 0, 0, 0, 0, 0, 128], &[9_223_372_036_854_775_808.0]),
            (Element::I64, &[254, 255, 255, 255, 255, 255, 255, 255], &[-2.0]),
            (Element::F16, &[0x00, 0x3c], &[1.0]),
            (Element::F32, &1.5_f32.to_le_bytes(), &[1.5]),
            (Element::F64, &(-0.1_f64).to_le_bytes(), &[-0.1]),
        ] {
            assert_eq!(values(element, ByteOrder::Little, little), expected, "{element:?}");
            let size = element.bytes();
            let big: Vec<u8> = little.chunks(size).flat_map(|value| value.iter().rev().copied()).collect();
            assert_eq!(values(element, ByteOrder::Big, &big), expected, "{element:?}");
        }
        assert_eq!(values(Element::F64, ByteOrder::Little, &1e300_f64.to_le_bytes()), [f32::INFINITY]);
    }

    /// IEEE 754's own examples: the least and largest of each kind, and what is no number.
    #[test]
    fn halves_are_those_of_the_standard() {
        let half = |bits: u16| values(Element::F16, ByteOrder::Little, &bits.to_le_bytes())[0];
        for (bits, expected) in [
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x3bff, 0.999_511_7),
            (0x7bff, 65_504.0),
            (0xc000, -2.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), expected, "{bits:04x}");
        }
        assert!(half(0x8000).is_sign_negative() && half(0x8000) == 0.0 && half(0x7e00).is_nan());
    }
}

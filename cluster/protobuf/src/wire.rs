//! The protobuf encoding: fields with a number and a wire type, one after the other.

use crate::error::Problem;

/// One field as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Wire<'a> {
    pub(crate) fn varint(self) -> Result<u64, Problem> {
        match self {
            Wire::Varint(value) => Ok(value),
            other => Err(Problem::WireType(other.wire_type())),
        }
    }

    pub(crate) fn fixed64(self) -> Result<u64, Problem> {
        match self {
            Wire::Fixed64(value) => Ok(value),
            other => Err(Problem::WireType(other.wire_type())),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Problem> {
        match self {
            Wire::Bytes(bytes) => Ok(bytes),
            other => Err(Problem::WireType(other.wire_type())),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, Problem> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Problem::Utf8)
    }

    fn wire_type(self) -> u8 {
        match self {
            Wire::Varint(_) => 0,
            Wire::Fixed64(_) => 1,
            Wire::Bytes(_) => 2,
            Wire::Fixed32(_) => 5,
        }
    }
}

/// Reads the fields of one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field and its number; none at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, Problem> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Problem::FieldNumber)?;
        if number == 0 || number >= 1 << 29 {
            return Err(Problem::FieldNumber);
        }
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Problem::Truncated)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            // 3 and 4 are groups, which Kubernetes has none of.
            other => return Err(Problem::WireType(other as u8)),
        };
        Ok(Some((number, value)))
    }

    /// A number in groups of seven bits, the lowest first.
    pub(crate) fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array()?;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return Err(Problem::Varint);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Problem::Varint)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Problem::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(Problem::Truncated)?;
        self.rest = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_are_read_in_order() {
        let mut reader = Reader::new(b"\x08\x96\x01\x12\x02hi\x1d\x01\0\0\0");
        assert_eq!(reader.field().unwrap(), Some((1, Wire::Varint(150))));
        assert_eq!(reader.field().unwrap(), Some((2, Wire::Bytes(b"hi"))));
        assert_eq!(reader.field().unwrap(), Some((3, Wire::Fixed32(1))));
        assert_eq!(reader.field().unwrap(), None);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let read = |bytes: &[u8]| Reader::new(bytes).field().unwrap_err();
        assert_eq!(read(b"\x08"), Problem::Truncated);
        assert_eq!(read(b"\x12\x05hi"), Problem::Truncated);
        assert_eq!(read(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), Problem::Truncated);
        assert_eq!(read(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), Problem::Varint);
        assert_eq!(read(b"\x00\x01"), Problem::FieldNumber);
        assert_eq!(read(b"\x0b"), Problem::WireType(3));
        assert_eq!(read(b"\x0f"), Problem::WireType(7));
    }

    #[test]
    fn negative_numbers_take_ten_bytes() {
        let mut reader = Reader::new(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        assert_eq!(reader.varint().unwrap() as i64, -1);
    }
}

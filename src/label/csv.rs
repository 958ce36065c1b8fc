//! Our own label file: CSV (RFC 4180 quoting) with the header
//! `video,start,end,label`; start and end in seconds, the end not included.

/// One field of a CSV record, with the column (counted in characters from 1)
/// at which it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub text: String,
    pub column: usize,
}

/// Splits one line into its fields. A field may stand in double quotes, where
/// `""` means one quote. A field does not run over the end of a line: no label
/// or file name of ours holds a line break.
///
/// # Errors
/// The column and the fault, when quotes are not closed or stand inside a field.
pub(super) fn fields(line: &str) -> Result<Vec<Field>, (usize, String)> {
    let mut fields = Vec::new();
    let mut characters = line.chars().peekable();
    let mut column = 1;
    loop {
        let start = column;
        let mut text = String::new();
        if characters.peek() == Some(&'"') {
            characters.next();
            column += 1;
            loop {
                let Some(c) = characters.next() else {
                    return Err((start, "the quote is never closed".into()));
                };
                column += 1;
                if c != '"' {
                    text.push(c);
                } else if characters.peek() == Some(&'"') {
                    characters.next();
                    column += 1;
                    text.push('"');
                } else {
                    break;
                }
            }
            if !matches!(characters.peek(), None | Some(',')) {
                return Err((column, "text after the closing quote".into()));
            }
        } else {
            while let Some(&c) = characters.peek() {
                if c == ',' {
                    break;
                }
                if c == '"' {
                    return Err((
                        column,
                        "a quote inside a field that does not begin with one".into(),
                    ));
                }
                text.push(c);
                characters.next();
                column += 1;
            }
            text = text.trim().to_owned();
        }
        fields.push(Field { text, column: start });
        if characters.next().is_none() {
            return Ok(fields);
        }
        column += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        fields(line).unwrap().into_iter().map(|f| f.text).collect()
    }

    #[test]
    fn fields_are_split_trimmed_and_unquoted() {
        assert_eq!(texts("a.mp4, 0.5 ,2,idle"), ["a.mp4", "0.5", "2", "idle"]);
        assert_eq!(texts(r#""a,b ""c"".mp4",1"#), ["a,b \"c\".mp4", "1"]);
        assert_eq!(texts(",,"), ["", "", ""]);
    }

    #[test]
    fn columns_count_characters() {
        let columns: Vec<_> =
            fields("é.mp4,1,\"x,y\",z").unwrap().iter().map(|f| f.column).collect();
        assert_eq!(columns, [1, 7, 9, 15]);
    }

    #[test]
    fn broken_quotes_are_refused_where_they_stand() {
        assert_eq!(fields("a,\"b").unwrap_err().0, 3);
        assert_eq!(fields("a,\"b\"c").unwrap_err().0, 6);
        assert_eq!(fields("a,b\"c").unwrap_err().0, 4);
    }
}

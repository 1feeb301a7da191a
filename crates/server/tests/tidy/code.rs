//! As much of Rust's grammar as is needed to tell names from comments and texts.

/// A word or a sign of the code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The tokens of a file, without comments and without what stands in quotes.
#[derive(Debug)]
pub(crate) struct Code {
    tokens: Vec<Token>,
}

impl Code {
    pub(crate) fn of(text: &str) -> Self {
        let mut reader = Reader { letters: text.chars().collect(), at: 0, line: 1 };
        let mut tokens = Vec::new();
        while let Some(token) = reader.token() {
            tokens.push(token);
        }
        Self { tokens }
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The modules that have files of their own: `mod name;`.
    pub(crate) fn declared_modules(&self) -> Vec<(usize, String)> {
        let declared = self.tokens.windows(3).filter(|three| three[0].text == "mod" && three[2].text == ";");
        declared.map(|three| (three[1].line, three[1].text.clone())).collect()
    }

    /// Paths like `std::fs`, with the line on which they begin; what stands in braces is not looked into.
    pub(crate) fn contains_path(&self, path: &[&str]) -> Option<usize> {
        let wanted: Vec<&str> = path.iter().flat_map(|part| [":", ":", *part]).skip(2).collect();
        self.tokens
            .windows(wanted.len())
            .find(|window| window.iter().map(|token| token.text.as_str()).eq(wanted.iter().copied()))
            .map(|window| window[0].line)
    }
}

struct Reader {
    letters: Vec<char>,
    at: usize,
    line: usize,
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    fn skip(&mut self, letters: usize) {
        for _ in 0..letters {
            self.next();
        }
    }

    fn token(&mut self) -> Option<Token> {
        loop {
            let letter = self.peek(0)?;
            match (letter, self.peek(1)) {
                ('/', Some('/')) => while self.next().is_some_and(|letter| letter != '\n') {},
                ('/', Some('*')) => self.skip_block_comment(),
                ('"', _) => self.skip_text(),
                ('\'', _) => self.skip_character_or_lifetime(),
                (letter, _) if letter.is_whitespace() => self.skip(1),
                (letter, _) if letter == '_' || letter.is_alphanumeric() => {
                    if let Some(word) = self.word() {
                        return Some(word);
                    }
                }
                (sign, _) => {
                    let line = self.line;
                    self.skip(1);
                    return Some(Token { line, text: sign.to_string() });
                }
            }
        }
    }

    /// A word; `None` if it was the prefix of a text in quotes, which is skipped.
    fn word(&mut self) -> Option<Token> {
        let line = self.line;
        let mut text = String::new();
        while let Some(letter) = self.peek(0).filter(|letter| *letter == '_' || letter.is_alphanumeric()) {
            text.push(letter);
            self.skip(1);
        }
        let raw = matches!(text.as_str(), "r" | "br" | "cr");
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        if raw && self.peek(hashes) == Some('"') {
            self.skip_raw_text(hashes);
            return None;
        }
        if matches!(text.as_str(), "b" | "c") && self.peek(0) == Some('"') {
            self.skip_text();
            return None;
        }
        if text == "b" && self.peek(0) == Some('\'') {
            self.skip_character_or_lifetime();
            return None;
        }
        Some(Token { line, text })
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.skip(2);
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.skip(2);
                }
                (Some(_), _) => self.skip(1),
                (None, _) => return,
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_text(&mut self) {
        self.skip(1);
        while let Some(letter) = self.next() {
            match letter {
                '\\' => self.skip(1),
                '"' => return,
                _ => {}
            }
        }
    }

    fn skip_raw_text(&mut self, hashes: usize) {
        self.skip(hashes + 1);
        while let Some(letter) = self.next() {
            if letter == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.skip(hashes);
                return;
            }
        }
    }

    fn skip_character_or_lifetime(&mut self) {
        match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                self.skip(3);
                while self.next().is_some_and(|letter| letter != '\'') {}
            }
            (Some(_), Some('\'')) => self.skip(3),
            _ => self.skip(1),
        }
    }
}

#[test]
fn names_are_told_from_comments_and_texts() {
    let code = Code::of(
        "// Comment\n/* a /* nested */ one */ let x: &'static str = \"text \\\" more\"; r#\"raw \" text\"# \
         b'\\'' 'c' y!\nmod z;",
    );
    let words: Vec<&str> = code.tokens().iter().map(|token| token.text.as_str()).collect();
    let expected = ["let", "x", ":", "&", "static", "str", "=", ";", "y", "!", "mod", "z", ";"];
    assert_eq!(words, expected);
    assert_eq!(code.declared_modules(), [(3, "z".to_owned())]);
}

#[test]
fn paths_are_found() {
    let code = Code::of("fn a() {\n    std::fs::read(p)\n}");
    assert_eq!(code.contains_path(&["std", "fs"]), Some(2));
    assert_eq!(code.contains_path(&["std", "net"]), None);
}

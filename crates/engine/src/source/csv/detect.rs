//! The encoding of a file that has no byte order mark and of which nobody said anything, by its first bytes. Most files are
//! UTF-8, and a code page is looked for only in those that are not.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{UTF_16BE, UTF_16LE};
use memchr::memchr;

use super::charset::Charset;
use super::quotes::begun_char;

/// So much of a file is judged, in bytes; UTF-8 that is well-formed so far is taken for UTF-8.
pub(super) const JUDGED: usize = 1 << 20;

/// NULs of UTF-16 show in fewer bytes.
const JUDGED_FOR_NULS: usize = 64 << 10;

/// The encoding, unless it is UTF-8. `head`: the first bytes of the file, [`JUDGED`] of them or all.
pub(super) fn charset(head: &[u8]) -> Option<Charset> {
    if let Some(utf16) = utf16(&head[..head.len().min(JUDGED_FOR_NULS)]) {
        return Some(utf16);
    }
    let whole = head.len() < JUDGED;
    // The last character may go on behind what is judged.
    let text = if whole { head } else { &head[..head.len() - begun_char(head)] };
    if std::str::from_utf8(text).is_ok() || is_damaged_utf8(text) {
        return None;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(head, whole);
    Some(Charset::Listed(detector.guess(None, Utf8Detection::Deny)))
}

/// Text in UTF-16 has a NUL beside every delimiter, digit, line end and Latin letter, always on the same side.
fn utf16(head: &[u8]) -> Option<Charset> {
    memchr(0, head)?;
    let (pairs, _) = head.as_chunks::<2>();
    let nuls = |side: usize| pairs.iter().filter(|pair| pair[side] == 0).count();
    let all = |side: usize| nuls(side) * 10 >= pairs.len() && nuls(side) >= nuls(1 - side) * 20;
    let has_line_end = |side: usize| pairs.iter().any(|pair| pair[side] == 0 && matches!(pair[1 - side], b'\r' | b'\n'));
    let is = |side: usize| all(side) && has_line_end(side);
    let encoding = if is(1) { Some(UTF_16LE) } else { is(0).then_some(UTF_16BE) };
    encoding.map(Charset::Listed)
}

/// Well-formed characters beyond ASCII come about by chance in other encodings, but seldom: with one of them for each two
/// places that are malformed the file is UTF-8, and what is malformed in it fails its rows. Taken for a code page all its
/// letters would be others.
fn is_damaged_utf8(text: &[u8]) -> bool {
    let (mut well_formed, mut malformed) = (0, 0);
    for chunk in text.utf8_chunks() {
        well_formed += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        malformed += usize::from(!chunk.invalid().is_empty());
    }
    well_formed * 2 >= malformed
}

#[cfg(test)]
mod tests {
    use encoding_rs::Encoding;
    use proptest::prelude::*;

    use super::*;

    fn detected(bytes: &[u8]) -> Option<&'static str> {
        charset(bytes).map(Charset::name)
    }

    #[test]
    fn files_of_many_countries_are_told_by_their_letters() {
        for (label, text) in [
            ("windows-1252", "Name;Ort\r\nJörg Müller;Köln\r\nZoë Groß;Düsseldorf\r\n"),
            ("windows-1252", "nom;ville\nHélène Lefèvre;Orléans\nFrançois;Besançon\n"),
            ("windows-1250", "jméno;město\nJiří Dvořák;Plzeň\nŽofie Nováková;České Budějovice\n"),
            ("windows-1251", "имя;город\nИван Петров;Москва\nОльга Сидорова;Санкт-Петербург\n"),
            ("windows-1253", "όνομα;πόλη\nΓιώργος Παπαδόπουλος;Αθήνα\nΕλένη;Θεσσαλονίκη\n"),
            ("windows-1254", "ad;şehir\nAyşe Yılmaz;İstanbul\nMehmet Çağlar;Eskişehir\n"),
            ("Shift_JIS", "名前,都市\n山田太郎,東京\n鈴木花子さん,大阪です\n"),
            ("EUC-KR", "이름,도시\n김철수,서울특별시\n이영희,부산광역시\n"),
            ("Big5", "姓名,城市\n王小明,臺北市\n陳美麗,高雄市\n李大同,新竹縣\n"),
            ("GBK", "姓名,城市\n张伟,北京市海淀区\n王芳,上海市浦东新区\n李娜,广州市天河区\n"),
        ] {
            let (bytes, _, lossy) = Encoding::for_label(label.as_bytes()).unwrap().encode(text);
            assert!(!lossy, "{label}");
            assert_eq!(detected(&bytes), Some(label), "{text}");
            assert_eq!(detected(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn utf_16_without_a_mark_is_told_by_its_nuls() {
        for text in ["a,b\n1,2\n", "Name;Ort\nJörg;Köln\n", "имя,год\nИван,2024-05-06\n", "名前,番号\n山田,123456\n"] {
            assert_eq!(detected(&text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()), Some("UTF-16LE"), "{text}");
            assert_eq!(detected(&text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>()), Some("UTF-16BE"), "{text}");
        }
        // A NUL here and there is an accident.
        assert_eq!(detected(b"a\0,b\0\n1,2\n"), None);
        assert_eq!(detected(b"a,b\nx,y\0\n"), None);
        assert_eq!(detected(format!("a,b\n{}x\0y,2\n", "1,2\n".repeat(9)).as_bytes()), None);
    }

    #[test]
    fn utf_8_with_damage_stays_utf_8() {
        assert_eq!(detected("Zoë\nJörg\nRen\n".replace("Ren", "Ren\u{FFFD}").as_bytes()), None);
        assert_eq!(detected(&[b"Zo\xC3\xAB\nJ\xC3\xB6rg\n".as_slice(), b"Ren\xE9\n"].concat()), None);
        // Cut off within a character.
        assert_eq!(detected("Zoë\nJö".as_bytes().split_last().unwrap().1), None);
    }

    #[test]
    fn what_is_judged_ends_within_a_character() {
        for shift in 0..3 {
            let file = [&b"xx"[..shift], "€".repeat(JUDGED / 3 + 1).as_bytes()].concat();
            assert_eq!(detected(&file[..JUDGED]), None);
        }
        let ascii = vec![b'a'; JUDGED - 1];
        assert_eq!(detected(&[&ascii[..], b"\xC3"].concat()), None);
    }

    const NAMES: [&str; 24] = [
        "Jörg",
        "Müller",
        "Köln",
        "Düsseldorf",
        "Groß",
        "Zoë",
        "Hélène",
        "Lefèvre",
        "Orléans",
        "François",
        "Besançon",
        "Noël",
        "Éric",
        "Núñez",
        "José",
        "García",
        "Åsa",
        "Malmö",
        "Söderström",
        "Øyvind",
        "Tromsø",
        "João",
        "Conceição",
        "Strauß",
    ];

    proptest! {
        #[test]
        fn names_of_western_europe_are_read_as_they_were_written(words in proptest::collection::vec(proptest::sample::select(&NAMES), 8..60)) {
            let text = words.join("\n");
            let (page, ..) = encoding_rs::WINDOWS_1252.encode(&text);
            let mut decoder = charset(&page).and_then(Charset::decoder).expect("a code page");
            prop_assert_eq!(decoder.decode(&page, true), text.as_bytes());
        }
    }
}

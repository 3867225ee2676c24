package consensus

import "testing"

func TestPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/a": true, "/a/b": true, "/...": true, "/a..": true, "/..a": true, "/.a": true, "/a b": true, "/ ": true,
		"/\u00a0": true, "/é": true, "/\ud7ff": true, "/\uf900": true, "/\uffef": true, "/~": true, "/日本": true,

		"": false, "a": false, "a/b": false, "//": false, "/a/": false, "/a//b": false, "/.": false, "/..": false,
		"/./a": false, "/../a": false, "/a/.": false, "/a/..": false, "/a/./b": false, "/a/../b": false,
		"/\x00": false, "/a\x00b": false, "/\x01": false, "/\x1f": false, "/\x7f": false, "/\u0080": false, "/\u009f": false,
		"/\ue000": false, "/\uf8ff": false, "/\ufff0": false, "/\uffff": false, "/\U0001F600": false,
		"/\xed\xa0\x80": false, // U+D800 encoded by itself
		"/\xff":         false, // not UTF-8
		"/\xc3":         false,
	} {
		if validPath(path) != want {
			t.Errorf("%q: valid %v, want %v", path, !want, want)
		}
	}
}

// Functions without a body, which pin.go has by linkname, need a package with an assembly file.

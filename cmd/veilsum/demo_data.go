package main

import (
	_ "embed"
	"fmt"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// The data sets, with their credit in the metadata; data/README.md describes them.
var (
	//go:embed data/inertial.arrow
	inertialFile []byte
	//go:embed data/digits.arrow
	digitsFile []byte
)

// demoData is a data set ready to train on.
type demoData struct {
	title    string // what is learned
	sentence string // from what
	credit   string
	split    string // what a vehicle is, in words
	unit     string // what is not protected because the unit is a vehicle; %d is the number of vehicles
	rows     *fleetsim.Dataset
	config   fleetsim.Config
}

func loadDemoData(name string) (*demoData, error) {
	switch name {
	case "inertial":
		return loadInertial()
	case "digits":
		return loadDigits()
	case "network":
		return loadNetwork()
	}
	return nil, &usageError{Err: fmt.Errorf("--data %q", name), Hint: "inertial, digits or network"}
}

func loadInertial() (*demoData, error) {
	from, err := arrowipc.ReadTable(inertialFile)
	if err != nil {
		return nil, err
	}
	c := columns{table: from}
	rows := fleetsim.InertialRows{
		Features: c.floats("features"), Labels: c.ints("label"), Recordings: c.ints("recording"),
		Subjects: c.ints("subject"), Sides: c.strings("side"),
	}
	if c.err != nil {
		return nil, c.err
	}
	data, err := fleetsim.Inertial(rows)
	return &demoData{
		title:    "Exercises from wrist movements",
		sentence: fmt.Sprintf("Which of seven shoulder exercises somebody makes, learned from %d windows of two seconds of a wrist's accelerometer and gyroscope.", from.Rows),
		credit:   from.Meta["source"],
		split:    "a slice in time of the recordings of one wrist of one of eight people; two more people are held out for the accuracy",
		unit:     "A person: the unit is a vehicle, here a slice in time of one wrist's recordings. Eight people are behind %d vehicles, so one person is behind dozens, and for a person this run promises close to nothing.",
		rows:     data, config: fleetsim.InertialConfig(),
	}, err
}

// digitRows returns the digits and whom they are from.
func digitRows() (rows fleetsim.DigitRows, count int, credit string, err error) {
	from, err := arrowipc.ReadTable(digitsFile)
	if err != nil {
		return rows, 0, "", err
	}
	c := columns{table: from}
	rows = fleetsim.DigitRows{Pixels: c.ints("pixels"), Labels: c.ints("label")}
	return rows, int(from.Rows), from.Meta["source"], c.err
}

// loadNetwork is the digits whole, for a model of two layers.
func loadNetwork() (*demoData, error) {
	rows, count, credit, err := digitRows()
	if err != nil {
		return nil, err
	}
	data, err := fleetsim.WholeDigits(rows)
	return &demoData{
		title:    "Handwritten digits, by a network of two layers",
		sentence: fmt.Sprintf("Which digit is written, learned from %d images of MNIST of 28 by 28 pixels.", count),
		credit:   credit,
		split:    "four of the images; the last fifth of all images is held out for the accuracy",
		unit:     "A writer: the unit is a vehicle, here one of %d shares of the images; the data does not tell who wrote which, and whoever is in several shares is protected less.",
		rows:     data, config: fleetsim.NetworkConfig(),
	}, err
}

func loadDigits() (*demoData, error) {
	rows, count, credit, err := digitRows()
	if err != nil {
		return nil, err
	}
	data, err := fleetsim.Digits(rows)
	return &demoData{
		title:    "Handwritten digits",
		sentence: fmt.Sprintf("Which digit is written, learned from %d images of MNIST, each averaged to 14 by 14 pixels.", count),
		credit:   credit,
		split:    "a share of the images, of about four digits; the last fifth of all images is held out for the accuracy",
		unit:     "A writer: the unit is a vehicle, here one of %d shares of the images; the data does not tell who wrote which, and whoever is in several shares is protected less.",
		rows:     data, config: fleetsim.DigitsConfig(),
	}, err
}

// columns reads columns of a table and keeps the first error.
type columns struct {
	table *arrowipc.Table
	err   error
}

func (c *columns) keep(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *columns) floats(name string) []float64 {
	v, _, err := c.table.Floats(name)
	c.keep(err)
	return v
}

func (c *columns) ints(name string) []int64 {
	v, _, err := c.table.Ints(name)
	c.keep(err)
	return v
}

func (c *columns) strings(name string) []string {
	v, err := c.table.Strings(name)
	c.keep(err)
	return v
}

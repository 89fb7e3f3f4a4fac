// What the levels of the codebooks stand for, in the units in which a scale is d times an odd number: f32, one for each level.

/** 8, 25, 43 in units of 8. */
export const levelsOfIq2 = memory.data<f32>([1, 3.125, 5.375])
/** 4, 12, .. 52, 62 in units of 4. */
export const levelsOfIq3Xxs = memory.data<f32>([1, 3, 5, 7, 9, 11, 13, 15.5])
/** As they are. */
export const levelsOfIq3S = memory.data<f32>([1, 3, 5, 7, 9, 11, 13, 15])
